"""conda-pack 0.9 as a peer: its own code finishes what slimpack packed."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conda_pack.prefixes import update_prefix

from tests.support.channel import MiniChannel, Run

_PROGRAM = """
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("theirs", sys.argv[1])
spec = importlib.util.spec_from_loader("theirs", loader)
module = importlib.util.module_from_spec(spec)
loader.exec_module(module)
print(len(module._prefix_records))
"""


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != "unpacked-prefix"
    }


@pytest.fixture
def unpacked(prefixed: MiniChannel, install: Callable[..., Path], run: Run, tmp_path: Path) -> Path:
    run("pack", install(prefixed, "prefixed"), "-o", "env.tar", cwd=tmp_path)
    (tmp_path / "env").mkdir()
    subprocess.run(["tar", "-xf", "../env.tar"], cwd=tmp_path / "env", check=True)
    return tmp_path / "env"


def test_its_rewriting_of_our_records_gives_what_ours_gives(unpacked: Path, run: Run) -> None:
    script = (unpacked / "bin/conda-unpack").read_text()
    listed = re.search(r"^_prefix_records = (\[.*?^\])", script, re.MULTILINE | re.DOTALL)
    assert listed
    records = ast.literal_eval(listed[1])
    assert {mode for _, _, mode in records} == {"text", "binary"}
    for path, placeholder, mode in records:
        update_prefix(str(unpacked / path), str(unpacked), placeholder, mode=mode)
    theirs = contents(unpacked)
    assert f"root = {unpacked}/share\n" == (unpacked / "share/config.txt").read_text()
    unpacked.rename(unpacked.with_name("theirs"))
    run("unpack", "env.tar", "env", "-q", cwd=unpacked.parent)
    assert contents(unpacked) == theirs


def test_the_script_is_a_module_as_theirs_is(unpacked: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(unpacked / "bin/conda-unpack")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 2
