"""`slimpack dockerfile` as a user runs it, without an engine and without a mirror."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimpack.cli import cli
from slimpack.dockerfile.pin import pinned
from slimpack.errors import InputError, RegistryError
from slimpack.oci.layout import write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.retry import Retry
from tests.registry.fake import Fake, serving, status
from tests.report.samples import image, layer
from tests.support.channel import ROOT, MiniChannel, Run
from tests.test_dockerfile import copies, instructions, one, pairs
from tests.test_docs import blocks

FINAL = "registry.example/base@sha256:" + "2" * 64
BUILDER = "registry.example/builder@sha256:" + "3" * 64
IMAGES = ("--builder-image", BUILDER, "--final-image", FINAL)


@pytest.fixture
def project(mini: MiniChannel, tmp_path: Path) -> Path:
    """A folder with an environment of two packages, an application and a base on disk."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/main.py").write_text("print(1)\n")
    mini.add("below", {"include/x.h": "", "lib/y": "", "share/man/LICENSE": ""})
    mini.add(
        "above",
        {
            "bin/tool": "#!/bin/false\n",
            "etc/conda/env_vars.d/above.json": json.dumps({"ABOVE": 'x "y" $z'}),
        },
        depends=["below"],
    )
    base = layer(tmp_path, "base", {"etc/os-release": b"ID=test\n"})
    write_layout(image(base, env=(("PATH", "/usr/bin"),), user="1000"), folder / "base", ())
    (folder / "environment.yml").write_text(
        f"channels: ['{mini.url}']\ndependencies: [above]\nvariables: {{OF_SPEC: '1'}}\n"
    )
    (folder / "slimpack.toml").write_text(
        '[env]\nspec = "environment.yml"\n'
        '[image]\nbase = "base"\nname = "t"\nworkdir = "/app"\nentrypoint = ["/app/main.py"]\n'
        '[[app.copy]]\nfrom = "app"\nto = "/app"\n'
    )
    (folder / "app/main.py").chmod(0o755)
    return folder


def test_all_files_are_written_and_told(project: Path, run: Run) -> None:
    done = run("dockerfile", *IMAGES, cwd=project)
    for name in ("explicit.txt", "Dockerfile.dockerignore", "Dockerfile"):
        assert f"written   {name}\n" in f"{done.stdout}\n"
        assert (project / name).is_file()
    text = (project / "Dockerfile").read_text()
    assert pairs(text, "ENV") == {
        "ABOVE": 'x "y" $z',
        "CONDA_PREFIX": "/opt/env",
        "OF_SPEC": "1",
        "PATH": "/opt/env/bin:/usr/bin",
    }
    assert json.loads(one(text, "ENTRYPOINT")) == ["/app/main.py"]
    assert one(text, "USER") == '"1000"'
    assert one(text, "WORKDIR") == '"/app"'
    assert ("ARG", f"FINAL_IMAGE={FINAL}") in instructions(text)
    assert copies(text) == [("explicit.txt", "/tmp/explicit.txt"), ("app/", "/src/0/")]
    assert "# headers, documentation." in text
    assert "compileall" not in text


def test_the_lock_is_in_the_order_of_dependencies_with_sha256(project: Path, run: Run) -> None:
    run("dockerfile", *IMAGES, "-q", cwd=project)
    lines = (project / "explicit.txt").read_text().splitlines()
    assert lines[:2] == ["# platform: linux-64", "@EXPLICIT"]
    assert [line.rpartition("/")[2].partition("-")[0] for line in lines[2:]] == ["below", "above"]
    assert all(len(line.rpartition("#")[2]) == 64 for line in lines[2:])


def test_the_same_twice(project: Path, run: Run) -> None:
    texts = []
    for _ in range(2):
        run("dockerfile", *IMAGES, "-q", cwd=project)
        texts.append([path.read_bytes() for path in sorted(project.glob("*file*"))])
    assert texts[0] == texts[1]


def test_a_given_explicit_list_is_used_as_it_is(project: Path, run: Run) -> None:
    run("lock", "environment.yml", "-o", "locks/mine.txt", cwd=project)
    before = (project / "locks/mine.txt").read_bytes()
    done = run("dockerfile", "locks/mine.txt", *IMAGES, "--json", cwd=project)
    assert json.loads(done.stdout)["outputs"] == ["Dockerfile.dockerignore", "Dockerfile"]
    assert (project / "locks/mine.txt").read_bytes() == before
    text = (project / "Dockerfile").read_text()
    assert copies(text)[0] == ("locks/mine.txt", "/tmp/explicit.txt")
    # What a specification says beyond packages is not in its lock.
    assert "OF_SPEC" not in text


def test_another_context_and_place(project: Path, run: Run) -> None:
    (project / "deploy").mkdir()
    places = ("-o", "deploy/App.Dockerfile", "--context", ".", "--lock", "deploy/env.txt")
    run("dockerfile", *IMAGES, *places, cwd=project)
    text = (project / "deploy/App.Dockerfile").read_text()
    assert copies(text) == [("deploy/env.txt", "/tmp/explicit.txt"), ("app/", "/src/0/")]
    assert "--file deploy/App.Dockerfile --tag t:latest ." in text
    assert "!deploy/env.txt" in (project / "deploy/App.Dockerfile.dockerignore").read_text()


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.dockerignore"])
def test_what_somebody_else_wrote_stays(project: Path, run: Run, name: str) -> None:
    (project / name).write_text("# mine\n")
    before = sorted(project.rglob("*"))
    done = run("dockerfile", *IMAGES, cwd=project, code=2)
    assert f"{name} is there, and was not written by `slimpack dockerfile`" in done.stderr
    assert sorted(project.rglob("*")) == before
    run("dockerfile", *IMAGES, "--force", cwd=project)
    assert "# mine" not in (project / name).read_text()
    run("dockerfile", *IMAGES, cwd=project)  # over its own


def test_profiles_and_epoch_are_obeyed(project: Path, run: Run) -> None:
    env = {"SOURCE_DATE_EPOCH": "12345"}
    run("dockerfile", *IMAGES, "--profile", "none", "--prefix", "/opt/x", cwd=project, env=env)
    text = (project / "Dockerfile").read_text()
    assert ("ARG", "SOURCE_DATE_EPOCH=12345") in instructions(text)
    assert "-delete" not in text.replace("'tmp????????' -delete", "")
    assert pairs(text, "ENV")["CONDA_PREFIX"] == "/opt/x"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "sub/Dockerfile"), "lies outside of the build's context"),
        (("--lock", "../x.txt"), "lies outside of the build's context"),
        (("--lock", "x.lock"), "not named as an @EXPLICIT list is"),
        (("-o", "app"), "is a folder"),
        (("--context", "none"), "none"),
        (("--builder-image", "a b"), "not a name for an image"),
        (("--final-image", "a b"), "not a name for an image"),
        (("--final-image", "a b", "--no-pin"), "not the name of an image"),
    ],
)
def test_mistakes_are_told(project: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    before = sorted(project.rglob("*"))
    assert said in run("dockerfile", *IMAGES, *arguments, cwd=project, code=2).stderr
    assert sorted(project.rglob("*")) == before


def test_a_base_on_disk_needs_a_name(project: Path, run: Run) -> None:
    done = run("dockerfile", "--builder-image", BUILDER, cwd=project, code=2)
    assert "cannot take an image from a file" in done.stderr
    assert "oci-layout://" in done.stderr


def test_an_installed_environment_has_no_lock(
    project: Path, mini: MiniChannel, install: Callable[..., Path], run: Run
) -> None:
    done = run("dockerfile", install(mini, "above"), *IMAGES, cwd=project, code=2)
    assert "no lock tells how to make this environment again" in done.stderr


def test_what_no_dockerfile_can_say_is_refused_and_nothing_written(project: Path, run: Run) -> None:
    with (project / "slimpack.toml").open("a") as config:
        config.write('[image.env]\nLINES = "a\\nb"\n')
    done = run("dockerfile", *IMAGES, cwd=project, code=2)
    assert "ENV LINES: a Dockerfile cannot express the character U+000A" in done.stderr
    assert not list(project.glob("Dockerfile*"))
    assert not (project / "explicit.txt").exists()


def test_runtimes_that_no_published_image_equals_are_told(project: Path, run: Run) -> None:
    (project / "mine.toml").write_text(
        '[debian]\nsuites = ["bookworm"]\npackages = ["libc6", "bash"]\n'
    )
    text = (project / "slimpack.toml").read_text()
    (project / "slimpack.toml").write_text(text.replace('base = "base"', 'runtime = "mine.toml"'))
    done = run("dockerfile", "--builder-image", BUILDER, cwd=project, code=2)
    assert "no published image is known" in done.stderr


@pytest.mark.network
def test_the_documented_command_works(mini: MiniChannel, tmp_path: Path, run: Run) -> None:
    mini.add("a", {"share/a": ""})
    (tmp_path / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [a]\n")
    document = (ROOT / "docs/dockerfile.md").read_text(encoding="utf-8")
    (block,) = blocks(document, "sh")
    (line,) = block.splitlines()
    program, *words = shlex.split(line)
    assert program == "slimpack"
    run(*words, cwd=tmp_path)
    lines = instructions((tmp_path / "Dockerfile").read_text())
    assert ("ARG", "FINAL_IMAGE=gcr.io/distroless/base-nossl-debian12:nonroot") in lines
    options = cli.commands["dockerfile"].params
    known = {name for item in options for name in (*item.opts, *item.secondary_opts)}
    assert set(re.findall(r"`(--[a-z-]+)`", document)) <= known | {"--build-arg"}
    arguments = {text.partition("=")[0] for name, text in lines if name == "ARG"}
    assert set(re.findall(r"--build-arg (\w+)=", document)) <= arguments


# Digests of images.


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def registries() -> Iterator[Registries]:
    with Registries(retry=Retry(tries=2, pause=0), environ={}) as made:
        yield made


def test_tags_get_the_digest_that_the_registry_tells(fake: Fake, registries: Registries) -> None:
    digest = fake.put("base", "nonroot", b"{}", "application/vnd.oci.image.index.v1+json")
    name = f"{fake.host}/base:nonroot"
    assert pinned(name, registries) == f"{name}@{digest}"
    assert [seen.method for seen in fake.seen if "manifests" in seen.path] == ["HEAD"]


def test_a_digest_is_kept_and_nobody_asked(fake: Fake, registries: Registries) -> None:
    name = f"{fake.host}/base@sha256:{'1' * 64}"
    assert pinned(name, registries) == name
    assert fake.seen == []


def test_why_an_image_cannot_be_pinned_is_told(fake: Fake, registries: Registries) -> None:
    with pytest.raises(RegistryError, match="cannot be pinned") as caught:
        pinned(f"{fake.host}/none:1", registries)
    assert "--no-pin" in caught.value.hint
    fake.on("HEAD", "manifests", status(500), times=99)
    with pytest.raises(RegistryError, match="cannot be pinned"):
        pinned(f"{fake.host}/none:1", registries)
    with pytest.raises(InputError, match="not a digest"):
        pinned(f"{fake.host}/none@sha256:1", registries)
