"""Every kind of input, built into an image through the command line.

The rows of the table in docs/inputs.md are the parameters here: each command that it
shows is run, in a folder that has the files it names.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.channel import write_conda
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from tests.support.channel import ROOT, Run
from tests.support.command import call, variables
from tests.support.wheels import wheel

pytestmark = pytest.mark.channel

TABLE = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| `slimpack (.+?)` \|", TABLE, re.MULTILINE)
COMMANDS = [shlex.split(row) for row in ROWS]
# The digest of an image does not tell by which way its packages came.
OTHER_PACKAGES = ("prefix-probe >=1", "./packages/tool-1.0-0.conda")


# Images that are compared; that such an image works is tested elsewhere.
QUICK = ("--no-verify", "--compression", "none")
FAST = ("--level", "1")


@pytest.fixture(scope="module")
def folder(
    channel: str, engine: RattlerEngine, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with one input of each kind, all of the same packages."""
    folder = tmp_path_factory.mktemp("inputs")
    specs = "dependencies: [prefix-probe, prefix-text]\n"
    (folder / "environment.yml").write_text(f"channels: ['{channel}']\n{specs}")
    for name in ("pixi.lock", "conda-lock.yml", "explicit.txt"):
        slimpack(folder, cache_dir, "lock", "environment.yml", "-o", name, "--glibc", "2.36")
    (folder / "project").mkdir()
    shutil.copy(folder / "pixi.lock", folder / "project")
    (folder / "project/pixi.toml").write_text(f'[workspace]\nchannels = ["{channel}"]\n')
    (folder / "packages").mkdir()
    made = write_conda(folder / "made", name="tool", files={"share/tool": "1"})
    shutil.copy(made, folder / "packages")
    assert (folder / "packages/tool-1.0-0.conda").is_file()
    engine.install(engine.read_lock(folder / "pixi.lock", "linux-64"), folder / "env")
    conda_pack = ("conda_pack.cli", "-q", "-p", "env", "-o", "env.tar.gz")
    subprocess.run([sys.executable, "-m", *conda_pack], cwd=folder, check=True)
    return folder


def slimpack(folder: Path, cache: Path, *arguments: str) -> str:
    done = call(arguments, folder, variables(cache))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(folder: Path, cache_dir: Path) -> str:
    """Digest of the image that is built from the environment.yml."""
    return slimpack(folder, cache_dir, "build", "environment.yml", "-o", "first.tar", "-q", *QUICK)


def test_every_kind_is_in_the_table() -> None:
    assert len(COMMANDS) == 9
    assert all(command[0] == "build" for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[1])
def test_the_commands_of_the_table(
    folder: Path, cache_dir: Path, channel: str, first: str, command: list[str]
) -> None:
    here = [channel if word == "conda-forge" else word for word in command]
    result = json.loads(slimpack(folder, cache_dir, *here, "--json", *QUICK))
    kinds = ("environment.yml", "pixi.lock", "@EXPLICIT", "conda-lock.yml", "match specs", "conda")
    assert result["source"].startswith(kinds)
    if command[1] not in OTHER_PACKAGES:
        assert result["digest"] == first.strip()


def test_an_archive_of_ours_gives_the_same_image(folder: Path, cache_dir: Path, first: str) -> None:
    for name in ("ours.tar.zst", "ours.zip", "ours.sh", "ours.squashfs"):
        slimpack(folder, cache_dir, "pack", "env", "-o", name, "--zip-symlinks", *FAST)
        assert slimpack(folder, cache_dir, "build", name, "-o", "x.tar", "-q", *QUICK) == first
    slimpack(folder, cache_dir, "pack", "ours.tar.zst", "-o", "again.tar.zst", *FAST)
    assert (folder / "again.tar.zst").read_bytes() == (folder / "ours.tar.zst").read_bytes()
    slimpack(folder, cache_dir, "pack", "explicit.txt", "-o", "direct.tar.zst", *FAST)
    assert (folder / "direct.tar.zst").read_bytes() == (folder / "ours.tar.zst").read_bytes()


def test_an_archive_with_a_final_prefix_gives_a_working_image(
    folder: Path, cache_dir: Path
) -> None:
    slimpack(folder, cache_dir, "pack", "env", "-o", "there.tar", "--dest-prefix", "/srv/there")
    there = ("--prefix", "/srv/there", "--compression", "none")
    slimpack(folder, cache_dir, "build", "there.tar", "-o", "there-image.tar", *there)
    view = merged_view(read_image(folder / "there-image.tar"))
    assert "srv/there/bin/prefix-probe" in view


def test_an_archive_with_a_final_prefix_cannot_be_moved(folder: Path, run: Run) -> None:
    run("pack", "env", "-o", "fixed.tar", "--dest-prefix", "/srv/there", cwd=folder)
    for command in (("build", "-o", "no.tar"), ("pack", "-o", "no.tar.zst")):
        done = run(*command, "fixed.tar", code=5, cwd=folder)
        assert "were written for /srv/there" in done.stderr
    assert not list(folder.glob("no.tar*"))


def test_pip_packages_come_along(
    folder: Path, cache_dir: Path, channel: str, run: Run, tmp_path: Path
) -> None:
    wheel(
        tmp_path / "wheels",
        "hello-pip",
        files={"hello_pip.py": "def main(): print('hi')\n"},
        entry_points="[console_scripts]\nhello-pip = hello_pip:main\n",
    )
    (tmp_path / "environment.yml").write_text(
        f"channels: ['{channel}']\n"
        "dependencies:\n  - python 3.11.*\n"
        "  - pip:\n    - --no-index\n    - --find-links wheels\n    - hello-pip\n"
    )
    lock = ("--lock", "pixi.lock", "--json", *QUICK)
    built = run("build", "environment.yml", "-o", "one.tar", *lock, cwd=tmp_path)
    result = json.loads(built.stdout)
    assert result["pypi"] == 1
    again = run("build", "pixi.lock", "-o", "two.tar", "-q", *QUICK, cwd=tmp_path).stdout.strip()
    assert again == result["digest"]
    shown = json.loads(run("inspect", "one.tar", "--json", cwd=tmp_path).stdout)
    assert [p["version"] for p in shown["packages"] if p["kind"] == "pypi"] == ["1.0"]
    run("pack", "pixi.lock", "-o", "env.tar", "--glibc", "2.36", cwd=tmp_path)
    run("unpack", "env.tar", "env", "-q", cwd=tmp_path)
    out = subprocess.run(
        ["bash", "-c", ". env/bin/activate && hello-pip"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert out.stdout == b"hi\n"
    third = run("build", "env", "-o", "three.tar", "-q", *QUICK, cwd=tmp_path)
    assert third.stdout.strip() == again
