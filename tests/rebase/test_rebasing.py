"""From one made-up base to another: what changes, what is proven, what is refused."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.running import docker
from benchmarks.setup.engine import engine_answers
from slimpack.base import Base
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.config import Config
from slimpack.errors import InputError, VerifyError
from slimpack.oci.archive import write_archive
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import BASE_DIGEST, BASE_NAME, Image
from slimpack.oci.index import Index
from slimpack.oci.layer import Layer
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from slimpack.oci.validate import validate
from slimpack.own import base_annotations
from slimpack.rebase import Proof, Rebased, rebase
from slimpack.rebase.changes import Change, changes
from slimpack.tree import Entry, bytes_entry, directory_entry
from tests.elf.builder import make_elf
from tests.rebase.images import ENV, OWN, USUAL, base_of, image_on, library
from tests.support.channel import missing
from tests.support.command import call, variables

Rebase = Callable[..., Rebased]


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rebase:
    """Return `rebase` onto a base that is at hand."""

    folders = itertools.count()

    def call(
        image: Image,
        onto: Base,
        proof: Proof = "files",
        runtime: str = "",
        base: str = "",
    ) -> Rebased:
        asked: list[dict[str, Any]] = []

        def assemble(config: Config, platform: str, **rest: Any) -> Base:
            asked.append({"image": config.image, "platform": platform, **rest})
            return onto

        monkeypatch.setattr("slimpack.rebase.rebasing.assemble", assemble)
        cache = Cache(tmp_path / "cache")
        found = rebase(
            image,
            Config(folder=tmp_path),
            cache=cache,
            layers=LayerCache(cache, BlobStore(tmp_path / "spare")),
            scratch=tmp_path / f"work{next(folders)}",
            proof=proof,
            runtime=runtime,
        )
        assert asked[0]["image"].base == (base or None)
        assert base or asked[0]["image"].runtime == (runtime or "tiny")
        assert asked[0]["epoch"] == image.config.created
        return found

    return call


def unreadable(layer: Layer) -> Layer:
    """The same layer, whose bytes must not be asked for."""

    def source() -> Any:
        raise AssertionError(f"layer {layer.name} was opened")

    return replace(layer, source=source)


def test_the_same_base_gives_the_same_image(tmp_path: Path, move: Rebase) -> None:
    base = base_of(tmp_path)
    image = image_on(tmp_path, base)
    # Nothing needs a byte of it, neither of the environment nor of the old base.
    far = replace(image, layers=tuple(map(unreadable, image.layers)))
    found = move(far, base)
    assert found.image.digest == image.digest
    assert (found.changed, found.changes, found.verified) == (False, (), None)


def test_a_new_base_gives_what_a_build_on_it_gives(tmp_path: Path, move: Rebase) -> None:
    new = base_of(
        tmp_path,
        [*USUAL, bytes_entry("etc/fixed", b"")],
        packages="libc6=2.36-9+deb12u1 netbase=6.4",
        env=(("LANG", "C"), ("MORE", "1")),
    )
    image = image_on(tmp_path, base_of(tmp_path))
    far = replace(image, layers=(image.layers[0], unreadable(image.layers[1])))
    found = move(far, new, "bases")
    assert found.image.digest == image_on(tmp_path, new).digest != image.digest
    assert found.changed
    assert found.changes == (
        Change("libc6", "2.36-9", "2.36-9+deb12u1"),
        Change("netbase", "", "6.4"),
    )
    assert (found.kept, found.replaced) == (image.layers[1].size, new.image.layers[0].size)
    validate(replace(found.image, layers=(new.image.layers[0], image.layers[1])), blobs=True)


def test_the_files_are_checked(tmp_path: Path, move: Rebase) -> None:
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")])
    found = move(image_on(tmp_path, base_of(tmp_path)), new)
    assert found.verified is not None
    assert found.verified.passed
    assert found.verified.sandbox == ""
    assert not any(result.name == "imports" for result in found.verified.results)


NEEDY = bytes_entry(
    "opt/env/bin/tool", make_elf(needed=["libz.so.1", "libc.so.6"], flags_1=0x08000000), mode=0o755
)


@pytest.mark.parametrize("proof", ["bases", "files"])
def test_a_base_without_a_library_that_the_environment_needs(
    tmp_path: Path, move: Rebase, proof: Proof
) -> None:
    old = base_of(tmp_path, [*USUAL, library("libz.so.1")])
    image = image_on(tmp_path, old, entries=[*ENV, NEEDY])
    with pytest.raises(VerifyError, match="elf-needed") as caught:
        move(image, base_of(tmp_path), proof)
    assert "opt/env/bin/tool: needs libz.so.1" in str(caught.value)


@pytest.mark.parametrize("proof", ["bases", "files"])
def test_a_library_that_nothing_needs_may_go(tmp_path: Path, move: Rebase, proof: Proof) -> None:
    old = base_of(tmp_path, [*USUAL, library("libz.so.1")])
    found = move(image_on(tmp_path, old), base_of(tmp_path), proof)
    assert found.verified is not None
    (note,) = found.notes
    assert note == "the new base differs, and nothing in the image needs it: it has no libz.so.1"


def test_a_version_that_the_environment_needs(tmp_path: Path, move: Rebase) -> None:
    tool = make_elf(
        needed=["libz.so.1"], needs={"libz.so.1": [("ZLIB_1.2", 0)]}, flags_1=0x08000000
    )
    entries = [*ENV, bytes_entry("opt/env/bin/tool", tool, mode=0o755)]
    old = base_of(tmp_path, [*USUAL, library("libz.so.1", "ZLIB_1.1", "ZLIB_1.2")])
    new = base_of(tmp_path, [*USUAL, library("libz.so.1", "ZLIB_1.1")])
    with pytest.raises(VerifyError, match=r"needs version ZLIB_1\.2 of libz\.so\.1"):
        move(image_on(tmp_path, old, entries=entries), new, "bases")


def test_an_older_glibc(tmp_path: Path, move: Rebase) -> None:
    old, new = base_of(tmp_path), base_of(tmp_path, [*USUAL, library("x.so")], glibc="2.31")
    image = image_on(tmp_path, old)
    far = replace(image, layers=(image.layers[0], unreadable(image.layers[1])))
    with pytest.raises(VerifyError, match=r"glibc 2\.31, and the image was solved for 2\.36") as e:
        move(far, new)
    assert "build the image anew" in e.value.hint


def test_what_failed_before_is_no_fault_of_the_base(tmp_path: Path, move: Rebase) -> None:
    broken = [*ENV, NEEDY]  # neither base has the library
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")])
    found = move(image_on(tmp_path, base_of(tmp_path), entries=broken), new)
    assert found.verified is not None
    assert any(
        finding.path == "opt/env/bin/tool" and finding.severity == "warning"
        for result in found.verified.results
        for finding in result.findings
    )


def test_a_file_that_would_hide_a_folder_of_the_base(tmp_path: Path, move: Rebase) -> None:
    own = replace(OWN, places=("/app", "/opt/env"))
    entries: list[Entry] = [*ENV, bytes_entry("app/data", b"")]
    image = image_on(tmp_path, base_of(tmp_path), own, entries)
    new = base_of(tmp_path, [*USUAL, directory_entry("app/data"), bytes_entry("app/data/x", b"")])
    with pytest.raises(VerifyError, match="/app/data of the image would hide a folder"):
        move(image, new, "bases")
    fits = base_of(tmp_path, [*USUAL, bytes_entry("app/other", b"")])
    (note,) = move(image, fits, "bases").notes
    assert "/app/other" in note


def test_from_a_plain_runtime_to_one_for_gpus(tmp_path: Path, move: Rebase) -> None:
    gpu = base_of(tmp_path, env=(("NVIDIA_VISIBLE_DEVICES", "all"),), name="cuda", gpu=True)
    with_cuda = image_on(tmp_path, base_of(tmp_path), replace(OWN, cuda="12.8"))
    found = move(with_cuda, gpu, "bases", "cuda")
    env = dict(found.image.config.env)
    assert (env["NVIDIA_VISIBLE_DEVICES"], env["NVIDIA_REQUIRE_CUDA"]) == ("all", "cuda>=12.0")
    assert "LANG" not in env
    assert (found.old_runtime, found.new_runtime, found.notes) == ("tiny", "cuda", ())
    back = move(found.image, base_of(tmp_path), "bases", "tiny")
    assert back.image.digest == with_cuda.digest
    (note,) = move(image_on(tmp_path, base_of(tmp_path)), gpu, "bases", "cuda").notes
    assert "no package of the environment brings CUDA" in note


def test_annotations_follow_the_base(tmp_path: Path, move: Rebase) -> None:
    image = image_on(tmp_path, base_of(tmp_path))
    image = replace(image, annotations={"kept": "1", BASE_NAME: "h.x/old:1", BASE_DIGEST: "x"})
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")])
    assert move(image, new, "bases").image.annotations == {"kept": "1"}
    pulled = replace(new, reference=f"h.x/new:2@sha256:{'0' * 64}")
    assert move(image, pulled, "bases").image.annotations == {
        "kept": "1",
        BASE_NAME: "h.x/new:2",
        BASE_DIGEST: new.image.digest,
    }
    assert base_annotations(replace(new, reference="h.x:5/new@sha256:1"))[BASE_NAME] == (
        "h.x:5/new@sha256:1"
    )


def test_a_base_that_was_pulled_is_looked_for_by_its_tag(tmp_path: Path, move: Rebase) -> None:
    below = base_of(tmp_path, labels={})
    image = image_on(tmp_path, below)
    with pytest.raises(InputError, match="nothing tells which base"):
        move(image, below)
    assert not move(image, below, runtime="other").changed
    tagged = replace(image, annotations={BASE_NAME: "h.x/old:1"})
    assert not move(tagged, below, base="h.x/old:1").changed
    pinned = replace(image, annotations={BASE_NAME: f"h.x/old@sha256:{'0' * 64}"})
    with pytest.raises(InputError, match="which is never another one"):
        move(pinned, below)
    for text in ("../image.tar", "image.tar", ""):
        with pytest.raises(InputError, match="nothing tells which base"):
            move(replace(image, annotations={BASE_NAME: text}), below)


def test_an_image_on_an_image_of_ours_does_not_lose_the_latter(
    tmp_path: Path, move: Rebase
) -> None:
    lower = image_on(tmp_path, base_of(tmp_path))
    base = Base(lower, "2.36", "/opt/env", "65532", merged_view(lower))
    upper = image_on(tmp_path, base, entries=[bytes_entry("app/main.py", b"")])
    assert upper.config.labels["slimpack.base"]
    with pytest.raises(InputError, match="nothing tells which base"):
        move(upper, base)


@pytest.mark.parametrize("name", ["../../runtime", "/etc/runtime", "runtime.toml"])
def test_a_runtime_s_name_is_never_a_path(tmp_path: Path, move: Rebase, name: str) -> None:
    base = base_of(tmp_path, name=name)
    with pytest.raises(InputError, match="nothing tells which base"):
        move(image_on(tmp_path, base), base)


def test_packages_that_go_back_are_told(tmp_path: Path, move: Rebase) -> None:
    old, new = (base_of(tmp_path, packages=f"tzdata={year}a-0") for year in (2026, 2025))
    (note,) = move(image_on(tmp_path, old), new, "bases").notes
    assert note.startswith("tzdata goes back from 2026a-0 to 2025a-0")


def test_packages_of_two_labels() -> None:
    def label(text: str) -> dict[str, str]:
        return {"slimpack.base": text}

    old, new = label("a x=1 y=1.0~rc1 z=1"), label("b x=1 y=1.0 w=2")
    assert changes(old, new) == (
        Change("w", "", "2"),
        Change("y", "1.0~rc1", "1.0"),
        Change("z", "1", ""),
    )
    assert changes({}, {}) == changes(label("a"), label("b")) == ()
    assert [Change("a", *pair).goes_back for pair in [("1", "2"), ("2", "1"), ("", "1")]] == [
        *(False, True, False)
    ]
    assert not Change("a", "not a version!", "1").goes_back


# --- the command --------------------------------------------------------------


@pytest.fixture
def onto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Base], None]:
    """Make the command take a base that is at hand."""

    def set_base(base: Base) -> None:
        monkeypatch.setattr("slimpack.rebase.rebasing.assemble", lambda *_, **__: base)

    return set_base


def test_the_command(tmp_path: Path, onto: Callable[[Base], None]) -> None:
    image = image_on(tmp_path, base_of(tmp_path))
    write_archive(image, tmp_path / "in.tar", ["app:1"])
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")], packages="libc6=2.36-10")
    expected = image_on(tmp_path, new)
    onto(new)

    def run(*arguments: object, code: int = 0) -> str:
        done = call(("rebase", *arguments), tmp_path, variables(tmp_path / "cache"))
        assert done.returncode == code, done.stderr
        return (
            done.stdout if code in (0, 1) and not done.stderr.startswith("error") else done.stderr
        )

    assert "libc6    2.36-9  2.36-10" in run("in.tar", "--check", code=1)
    told = json.loads(run("in.tar", "--dry-run", "--json"))
    assert (told["changed"], told["digest"]) == (True, expected.digest)
    assert not (tmp_path / "out.tar").exists()
    text = run("in.tar", "-o", "out.tar", "-o", "layout/")
    assert f"digest    {expected.digest}" in text
    assert "tags      app:1" in text
    for path in ("out.tar", "layout"):
        found = read_image(tmp_path / path, ref="app:1")
        validate(found, blobs=True)
        assert found.digest == expected.digest
    assert "the newest already" in run("out.tar", "--check")
    # A layout takes the new image in the place of the old one.
    assert run("layout", "-o", "layout/", "-t", "app:2", "-q") == f"{expected.digest}\n"
    assert read_image(tmp_path / "layout", ref="app:2").digest == expected.digest

    assert "nowhere to put the image" in run("in.tar", code=2)
    assert "is the input" in run("in.tar", "-o", "in.tar", code=2)
    assert "exclude each other" in run("in.tar", "--base", "x", "--runtime", "y", code=2)
    assert "'rkt' is not one of" in run("in.tar", "--load-into", "rkt", code=2)
    onto(base_of(tmp_path, [*USUAL, library("x.so")], glibc="2.31"))
    assert "solved for 2.36" in run("in.tar", "-o", "no.tar", code=11)
    assert "solved for 2.36" in run("in.tar", "--check", code=11)
    assert not (tmp_path / "no.tar").exists()


def test_all_platforms_of_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on(entries: Sequence[Entry]) -> dict[str, Base]:
        return {
            f"linux/{machine}": base_of(tmp_path, entries, architecture=machine)
            for machine in ("amd64", "arm64")
        }

    old, new = on(USUAL), on([*USUAL, bytes_entry("etc/fixed", b"")])
    index = Index(tuple(image_on(tmp_path, base) for base in old.values()))
    expected = Index(tuple(image_on(tmp_path, base) for base in new.values()))
    write_layout(index, tmp_path / "both", ["app:1"])
    monkeypatch.setattr(
        "slimpack.rebase.rebasing.assemble", lambda config, platform, **_: new[platform]
    )
    command = ("rebase", "both", "-o", "new/", "--json")
    done = call(command, tmp_path, variables(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["digest"] == expected.digest
    assert [image["platform"] for image in told["images"]] == ["linux/amd64", "linux/arm64"]
    one = call(
        ("rebase", "both", "--platform", "linux/arm64", "--dry-run", "-q"),
        tmp_path,
        variables(tmp_path / "cache"),
    )
    assert one.stdout == f"{expected.images[1].digest}\n"


@pytest.mark.engine
def test_into_an_engine(tmp_path: Path, onto: Callable[[Base], None]) -> None:
    if not engine_answers():
        missing("ENGINE", "no Docker engine answers")
    name = f"slimpack-test/rebase:{uuid.uuid4().hex}"
    write_archive(image_on(tmp_path, base_of(tmp_path)), tmp_path / "in.tar", [name])
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", uuid.uuid4().bytes)])
    onto(new)
    command = ("rebase", "in.tar", "--load-into", "docker", "--json")
    done = call(command, tmp_path, variables(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    try:
        found = docker("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
        assert found == told["images"][0]["image_id"] == image_on(tmp_path, new).config_digest
        assert told["loaded"] == "docker"
    finally:
        docker("image", "rm", "--force", name)
