"""Debian's Apptainer, as an ordinary user, on what slimpack writes; the commands of docs/hpc.md."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.setup.apptainer import GONE, apptainer_command, apptainer_works
from slimpack.hpc.write import write_folder
from tests.hpc.images import CONFIG, HARD, bare_image, shell_image
from tests.hpc.test_write import written
from tests.oci.oci_images import need
from tests.support.channel import ROOT, Run

TEXT = (ROOT / "docs/hpc.md").read_text(encoding="utf-8")
BUILDING, RUNNING = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)

Apptainer = Callable[..., str]


@pytest.fixture(scope="module")
def there() -> None:
    if GONE.exists():
        pytest.skip(GONE.read_text())
    need(apptainer_works(), "Apptainer is not set up (python -m benchmarks.setup tests)")


@pytest.fixture
def apptainer(there: None, tmp_path: Path) -> Apptainer:
    """Run apptainer in the test's folder and return what it prints."""
    tmp_path.chmod(0o777)

    def call(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*apptainer_command(tmp_path), "apptainer", "--quiet", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + (done.stderr if code else "")

    return call


@pytest.mark.parametrize("name", ["x.sqsh", "x.sif"])
def test_an_image_with_a_shell(
    apptainer: Apptainer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BOTH", "host")
    monkeypatch.setenv("TEST_HOST", "host")
    image = shell_image(tmp_path / "blobs")
    written(image, tmp_path / name)
    assert apptainer("run", name) == "[one two][th$ree]"
    assert apptainer("run", name, "$HOME", "b  c") == "[$HOME][b  c]"
    assert apptainer("exec", name, "pwd") == "/work\n"
    env = apptainer("exec", "--env", "MINE=1", name, "env", "-0").split("\0")
    assert f"HARD={HARD}" in env
    assert {"HOME=/work", "MINE=1", "LINES=one\ntwo"} <= set(env)
    assert {"TEST_BOTH=image", "TEST_HOST=host"} <= set(env)
    assert "TEST_HOST" not in apptainer("exec", "--cleanenv", name, "env")
    assert not any(line.startswith("A.B=") for line in env)
    assert any(re.fullmatch(r"LD_LIBRARY_PATH=.*/\.singularity\.d/libs", line) for line in env)
    assert apptainer("exec", "--env", "HARD=mine", name, "sh", "-c", "echo $HARD") == "mine\n"
    assert "org.example: yes" in apptainer("inspect", "--labels", name)


def test_the_working_directory_is_entered(apptainer: Apptainer, tmp_path: Path) -> None:
    config = replace(CONFIG, entrypoint=("pwd",), cmd=())
    written(shell_image(tmp_path / "blobs", config), tmp_path / "x.sqsh")
    assert apptainer("run", "x.sqsh") == "/app/data\n"
    write_folder(shell_image(tmp_path / "blobs", config), str(tmp_path / "folder"))
    assert apptainer("run", "folder") == "/app/data\n"


@pytest.mark.parametrize("name", ["x.sqsh", "x.sif"])
def test_an_image_without_a_shell(apptainer: Apptainer, tmp_path: Path, name: str) -> None:
    written(bare_image(tmp_path / "blobs"), tmp_path / name)
    assert apptainer("run", name) == "[one two][th$ree]"
    assert apptainer("run", name, "$HOME", "b  c") == "[$HOME][b  c]"
    assert apptainer("exec", name, "printf", "%s", "x y") == "x y"
    assert "/bin/sh does not exist" in apptainer("shell", name, code=1)
    if name == "x.sif":
        told = json.loads(apptainer("inspect", "--json", "--all", name))
        assert "exec printf '[%s]'" in told["data"]["attributes"]["runscript"]


def test_the_documented_commands_work(
    channel: str, run: Run, apptainer: Apptainer, tmp_path: Path
) -> None:
    (tmp_path / "environment.yml").write_text(
        f"channels: ['{channel}']\ndependencies: [python 3.11.*, click]\n"
    )
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("import os\nprint('in', os.getcwd())\n")
    (tmp_path / "slimpack.toml").write_text(
        '[env]\nglibc = "2.36"\n[image]\nworkdir = "/app"\nentrypoint = ["python", "main.py"]\n'
        "[[app.copy]]\nfrom = 'app'\nto = '/app'\n"
    )
    for line in BUILDING.splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "slimpack"
        run(*words, cwd=tmp_path)
    assert (tmp_path / "again.sif").read_bytes() == (tmp_path / "serve.sif").read_bytes()
    printed = []
    for line in RUNNING.splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "apptainer"
        printed.append(apptainer(*words))
    assert printed[:3] == ["hello\n", "hello\n", "in /app\n"]
    assert "slimpack.base: distroless" in printed[3]
    assert apptainer("run", "folder/") == "in /app\n"
    (own,) = re.findall(r"`apptainer (build [^`]+)`", TEXT)
    apptainer(*own.replace("serve.sif", "own.sif").split())
    # As the document says: the folder is lost.
    assert "No such file" in apptainer("run", "own.sif", code=2)
