"""Any number of builds at once, and builds that are killed at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from slimpack.cache import Cache
from slimpack.cache.check import check
from slimpack.cache.contents import kept
from slimpack.cache.limits import trim
from tests.support.channel import ROOT


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cache.worker", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_builds_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    running = [start("use", folder, seed, 60) for seed in range(6)]
    for process in running:
        _, problems = process.communicate(timeout=300)
        assert (process.returncode, problems) == (0, "")
    assert check(Cache(folder)).wrong == ()
    assert not [item for item in kept(Cache(folder)) if item.part == "unfinished"]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    process = start("kill", folder, 1, 150)
    output, problems = process.communicate(timeout=300)
    assert (process.returncode, problems) == (0, "")
    # Some were hit in the middle of a file; what they left is swept once it is old.
    left = [item.path for item in kept(Cache(folder)) if item.part == "unfinished"]
    assert len(left) == int(output) > 0
    trim(Cache(folder), 1 << 40)
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (time.time() - 4000, time.time() - 4000))
    trim(Cache(folder), 1 << 40)
    assert not [item for item in kept(Cache(folder)) if item.part == "unfinished"]
    assert check(Cache(folder)).wrong == ()
