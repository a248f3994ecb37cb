"""Several builds with one cache, and builds that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

from slimpack.cache import Cache
from slimpack.cache.check import check
from tests.support.command import variables
from tests.warm.lab import SITE, Lab


def start(lab: Lab, output: str) -> subprocess.Popen[str]:
    """Start a build of the project as it is now."""
    return subprocess.Popen(
        [sys.executable, "-m", "slimpack", *lab.command(lab.folder / output)],
        cwd=lab.project,
        env={**os.environ, **variables(lab.cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def change(lab: Lab) -> None:
    """Change a package and the application, so that all of a warm build has to run."""
    lab.change("beta", {f"{SITE}/beta/core.py": f"import alpha # {time.monotonic()}\n"})
    (lab.project / "app/main.py").write_text(f"import beta # {time.monotonic()}\n")
    lab.lock()


def test_builds_at_once(lab: Lab) -> None:
    change(lab)
    running = [start(lab, f"out{number}") for number in range(3)]
    told = []
    for process in running:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        told.append(json.loads(output))
    cold = lab.cold()
    assert [one["digest"] for one in told] == [cold["digest"]] * 3
    assert check(Cache(lab.cache)).wrong == ()


def test_killed_at_any_moment(lab: Lab) -> None:
    chance = random.Random(3)
    for _ in range(6):
        change(lab)
        process = start(lab, "killed")
        time.sleep(chance.uniform(0.2, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    lab.swapped("beta")
    assert list((lab.cache / "tmp").iterdir()) == []
    assert check(Cache(lab.cache)).wrong == ()
