"""The commands of docs/cache.md do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from slimpack.cache.contents import PARTS
from tests.cache.test_cache_cli import fill, slimpack
from tests.support.channel import ROOT

TEXT = (ROOT / "docs/cache.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("line", BLOCK.splitlines())
def test_every_command_works(line: str, tmp_path: Path) -> None:
    program, group, *arguments = shlex.split(line, comments=True)
    assert (program, group) == ("slimpack", "cache")
    fill(tmp_path / "c")
    done = slimpack(tmp_path / "c", *arguments)
    assert (done.returncode, done.stderr.startswith("error")) == (0, False)
    assert done.stdout


def test_every_part_is_told_of() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \| (\w+) \|", TEXT, re.MULTILINE))
    assert set(rows.values()) | {"unfinished"} == set(PARTS)
