"""``slimpack lock`` as a user runs it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.files import LockFormat, write_locks
from slimpack.env.locks.lock import PypiPackage
from slimpack.env.rattler.engine import RattlerEngine, with_pypi
from tests.support.channel import GLIBC, MiniChannel, Run
from tests.support.wheels import wheel


@pytest.fixture
def spec(mini: MiniChannel, tmp_path: Path) -> Path:
    """An environment.yml in a folder of its own, with a channel for two platforms."""
    mini.add("a", {"share/a": "1"}, version="1.0", depends=["b >=1"])
    mini.add("a", {"share/a": "arm"}, version="1.0", depends=["b"], subdir="linux-aarch64")
    mini.add("b", {"share/b": "1"}, version="1.0", noarch="generic")
    mini.add("glibc-new", {"share/n": "1"}, depends=["__glibc >=2.34"])
    path = tmp_path / "work" / "environment.yml"
    path.parent.mkdir()
    path.write_text(f"channels: ['{mini.url}']\ndependencies: [a]\n")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_format_can_be_made_of_every_other(run: Run, spec: Path) -> None:
    here = spec.parent
    done = run("lock", "environment.yml", cwd=here)
    assert "input     environment.yml (environment.yml)" in done.stdout
    assert "linux-64  2 of conda" in done.stdout
    assert "written   pixi.lock (rattler)" in done.stdout
    run("lock", "pixi.lock", "-o", "explicit.txt", cwd=here)
    run("lock", "explicit.txt", "-o", "conda-lock.yml", cwd=here)
    run("lock", "conda-lock.yml", "-o", "other.x", "--format", "explicit", cwd=here)
    run("lock", "other.x", "-o", "again.lock", cwd=here)
    assert (here / "other.x").read_text() == (here / "explicit.txt").read_text()
    assert (here / "again.lock").read_text() == (here / "pixi.lock").read_text()
    for name in ("pixi.lock", "explicit.txt", "conda-lock.yml", "other.x", "again.lock"):
        done = run("lock", "environment.yml", "--check", "-o", name, cwd=here)
        assert done.stdout == f"{name} fits environment.yml (environment.yml)\n"


def test_several_platforms(run: Run, spec: Path) -> None:
    here = spec.parent
    both = ("--platform", "linux/amd64", "--platform", "linux-aarch64")
    done = run("lock", "environment.yml", *both, "--json", cwd=here)
    assert json.loads(done.stdout) == {
        "source": "environment.yml (environment.yml)",
        "format": "rattler",
        "platforms": {
            "linux-64": {"packages": 2, "pypi": 0},
            "linux-aarch64": {"packages": 2, "pypi": 0},
        },
        "outputs": ["pixi.lock"],
        "notes": [],
    }
    comma = ("--platform", "linux/amd64,linux/arm64")  # as `build` takes them
    run("lock", "pixi.lock", *comma, "-o", "conda-lock.yml", cwd=here)
    packages = yaml.safe_load((here / "conda-lock.yml").read_text())["package"]
    assert [(item["name"], item["platform"]) for item in packages] == [
        ("a", "linux-64"),
        ("a", "linux-aarch64"),
        ("b", "linux-64"),
        ("b", "linux-aarch64"),
    ]
    done = run("lock", "pixi.lock", *both, "-o", "explicit.txt", cwd=here, code=2)
    assert "an @EXPLICIT list is for one platform, not for 2" in done.stderr
    assert "explicit-{platform}.txt" in done.stderr
    assert names(here) == ["conda-lock.yml", "environment.yml", "pixi.lock"]
    run("lock", "pixi.lock", *both, "-o", "explicit-{platform}.txt", cwd=here)
    assert "/linux-aarch64/a-1.0-0.conda" in (here / "explicit-linux-aarch64.txt").read_text()
    assert "/linux-64/a-1.0-0.conda" in (here / "explicit-linux-64.txt").read_text()
    for name in ("pixi.lock", "conda-lock.yml", "explicit-{platform}.txt"):
        run("lock", "environment.yml", *both, "--check", "-o", name, cwd=here)


def test_platforms_of_the_file_are_the_default(run: Run, spec: Path) -> None:
    spec.write_text(spec.read_text() + "platforms: [osx-arm64, linux-aarch64]\n")
    run("lock", "environment.yml", cwd=spec.parent)
    assert "linux-aarch64:" in (spec.parent / "pixi.lock").read_text()
    assert "linux-64:" not in (spec.parent / "pixi.lock").read_text()
    spec.write_text(spec.read_text().replace(", linux-aarch64", ""))
    done = run("lock", "environment.yml", cwd=spec.parent, code=2)
    assert "platforms: osx-arm64: none that images have" in done.stderr


def test_check_lists_every_difference_and_writes_nothing(run: Run, spec: Path) -> None:
    here = spec.parent
    done = run("lock", "environment.yml", "--check", cwd=here, code=10)
    assert "pixi.lock does not exist" in done.stderr
    run("lock", "environment.yml", cwd=here)
    before = (here / "pixi.lock").read_bytes()
    spec.write_text(spec.read_text().replace("[a]", "[b >=2, glibc-new]"))
    done = run("lock", "environment.yml", "--check", cwd=here, code=10)
    assert "error: pixi.lock is no longer a lock of environment.yml" in done.stderr
    for sentence in (
        "b >=2 is asked for, but b-1.0-0 is locked",
        "glibc-new is asked for, but no glibc-new is locked",
        "a-1.0-0 is locked, but nothing asks for it",
    ):
        assert f"  {sentence}\n" in done.stderr
    assert "hint: run the same command without --check and commit the result" in done.stderr
    done = run("lock", "environment.yml", "--check", "--json", cwd=here, code=10)
    assert len(json.loads(done.stdout)["differences"]) == 3
    done = run(
        *("lock", "environment.yml", "--check", "--platform", "linux-aarch64"), cwd=here, code=10
    )
    assert "nothing is locked for linux-aarch64" in done.stderr
    run("lock", "pixi.lock", "-o", "explicit.txt", cwd=here)
    done = run(
        *("lock", "environment.yml", "--check", "-o", "explicit.txt"),
        *("--platform", "linux-aarch64"),
        cwd=here,
        code=10,
    )
    assert "nothing is locked for linux-aarch64" in done.stderr
    (here / "explicit.txt").unlink()
    assert (here / "pixi.lock").read_bytes() == before
    assert names(here) == ["environment.yml", "pixi.lock"]


def test_check_needs_a_specification_and_a_lock(run: Run, spec: Path) -> None:
    here = spec.parent
    run("lock", "environment.yml", cwd=here)
    done = run("lock", "pixi.lock", "--check", cwd=here, code=2)
    assert "not a specification to compare a lock with" in done.stderr
    done = run("lock", "environment.yml", "--check", "-o", "environment.yml", cwd=here, code=2)
    assert "not a lock" in done.stderr


def test_the_base_decides_about_glibc_not_the_machine(
    run: Run, spec: Path, mini: MiniChannel
) -> None:
    here = spec.parent
    arguments = ("lock", "glibc-new", "-c", mini.url)
    done = run(*arguments, cwd=here, code=3)
    assert "no environment satisfies the specs on linux-64" in done.stderr
    assert "the solver was offered glibc 2.28" in done.stderr
    run(*arguments, "--glibc", "2.34", cwd=here)
    done = run(*arguments, "--check", cwd=here, code=10)
    assert "glibc-new-1.0-0 needs __glibc >=2.34, which the platform does not offer" in done.stderr
    run(*arguments, "--check", "--glibc", "2.36", cwd=here)


def test_configuration(run: Run, spec: Path) -> None:
    here = spec.parent
    (here / "locks").mkdir()
    (here / "slimpack.toml").write_text(
        "[env]\nspec = 'environment.yml'\nlock = 'locks/my-lock.yml'\nplatform = 'linux-aarch64'\n"
    )
    run("lock", cwd=here)
    assert yaml.safe_load((here / "locks/my-lock.yml").read_text())["metadata"]["platforms"] == [
        "linux-aarch64"
    ]
    run("lock", "--check", cwd=here)
    run("lock", "--check", "--config", here / "slimpack.toml", cwd=here.parent)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "nothing to read"),
        (("environment.yml", "-o", "lock.foo"), "the name does not tell the format"),
        (("environment.yml", "numpy"), "a file cannot be mixed"),
        (("none.yml",), "none.yml: No such file"),
        (("environment.yml", "--platform", "osx-64"), "unknown platform 'osx-64'"),
        ((".",), "not a folder that slimpack knows"),
        (("prefix",), "holds no lock"),
        (("environment.yml", "--config", "none.toml"), "none.toml"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(
    run: Run, spec: Path, arguments: tuple[str, ...], expected: str
) -> None:
    (spec.parent / "prefix/conda-meta").mkdir(parents=True)
    (spec.parent / "prefix/conda-meta/a-1-0.json").touch()
    done = run("lock", *arguments, cwd=spec.parent, code=2)
    assert expected in done.stderr
    assert names(spec.parent) == ["environment.yml", "prefix"]


def test_parts_of_a_lock(run: Run, spec: Path) -> None:
    here = spec.parent
    run("lock", "environment.yml", "-o", "conda-lock.yml", cwd=here)
    path = here / "conda-lock.yml"
    path.write_text(path.read_text().replace("category: main", "category: dev", 1))
    done = run("lock", "conda-lock.yml", cwd=here)
    assert "linux-64  1 of conda" in done.stdout
    assert "note: conda-lock.yml: left out 1 package of category dev" in done.stdout
    both = ("--category", "main", "--category", "dev")
    assert "linux-64  2 of conda" in run("lock", "conda-lock.yml", *both, cwd=here).stdout
    done = run("lock", "pixi.lock", "--environment", "test", "-o", "x.lock", cwd=here, code=2)
    assert "no environment 'test' (has: default)" in done.stderr


def test_an_unsolvable_specification_leaves_the_old_lock(run: Run, spec: Path) -> None:
    run("lock", "environment.yml", cwd=spec.parent)
    before = (spec.parent / "pixi.lock").read_bytes()
    spec.write_text(spec.read_text().replace("[a]", "[a >=7]"))
    done = run("lock", "environment.yml", cwd=spec.parent, code=3)
    assert "a >=7" in done.stderr
    assert (spec.parent / "pixi.lock").read_bytes() == before
    assert names(spec.parent) == ["environment.yml", "pixi.lock"]


def test_variables_that_no_lock_holds_are_named(run: Run, spec: Path) -> None:
    spec.write_text(f"{spec.read_text()}variables:\n  SET_HERE: x\n")
    done = run("lock", spec.name, "-o", "pixi.lock", cwd=spec.parent)
    assert "note: a lock holds no variables: SET_HERE" in done.stdout
    assert "SET_HERE" not in (spec.parent / "pixi.lock").read_text()


def test_a_pip_section_needs_python(run: Run, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("[a]", "[a, {pip: [six]}]"))
    done = run("lock", "environment.yml", cwd=spec.parent, code=2)
    assert "a 'pip:' section, but no python to install its packages into" in done.stderr


@pytest.mark.channel
def test_a_pip_section_is_locked_in_every_format(run: Run, channel: str, tmp_path: Path) -> None:
    here = tmp_path / "wörk"
    (here / "wheels").mkdir(parents=True)
    web = wheel(here / "wheels", "web", "2.0", requires=["alpha>=1"])
    wheel(here / "wheels", "alpha", "1.5")
    path = here / "environment.yml"
    path.write_text(
        f"channels: ['{channel}']\ndependencies:\n- python 3.11.*\n- pip:\n"
        "  - --find-links wheels\n  - Web >=2\n"
    )
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    glibc = ("--glibc", "2.36")
    done = run("lock", "environment.yml", *glibc, cwd=here, env=own)
    assert "of conda and 2 of pip" in done.stdout
    text = (here / "pixi.lock").read_text()
    assert f"- pypi: {web.as_uri()}" in text
    run("lock", "environment.yml", *glibc, "--check", cwd=here, env=own)
    for name in ("explicit.txt", "conda-lock.yml"):
        run("lock", "pixi.lock", "-o", name, cwd=here, env=own)
        run("lock", "environment.yml", *glibc, "--check", "-o", name, cwd=here, env=own)
        run("lock", name, "-o", f"{name}.lock", cwd=here, env=own)
    assert (here / "conda-lock.yml.lock").read_text() == text
    path.write_text(path.read_text().replace(">=2", ">=3"))
    done = run("lock", "environment.yml", *glibc, "--check", cwd=here, env=own, code=10)
    assert "pip: Web >=3 is asked for, but web 2.0 is locked" in done.stderr


def test_no_format_holds_credentials(mini: MiniChannel, tmp_path: Path) -> None:
    mini.add("b", {"share/b": "1"})
    engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
    lock = engine.solve(mini.spec("b"), "linux-64", GLIBC)
    secret = "https://bob:s3cret@x.example/t/s3cret/c"
    url = "https://bob:s3cret@x.example/six-1-py3-none-any.whl"
    lock = replace(
        lock,
        text=lock.text.replace(mini.folder.as_uri(), secret).replace(str(mini.folder), secret),
        packages=tuple(
            replace(package, url=f"{secret}/linux-64/b-1.0-0.conda") for package in lock.packages
        ),
    )
    lock = with_pypi(lock, [PypiPackage("six", "1", url, "0" * 64)])
    assert "s3cret" in lock.text
    spec = EnvSpec("t", (secret,), (f"{secret}::b",), source="environment.yml")
    for form in LockFormat:
        (path,) = write_locks([lock], tmp_path / form.value, form, spec)
        assert "s3cret" not in path.read_text()
        assert "https://x.example/c/linux-64/b-1.0-0.conda" in path.read_text()
        assert "https://x.example/six-1-py3-none-any.whl" in path.read_text()
