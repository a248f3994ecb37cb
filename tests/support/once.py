"""What is made once for a whole test run, however many processes (pytest-xdist) it has."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of this test run have in common."""
    base = factory.getbasetemp()
    # The folder of a worker lies in that of the process which started it.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder`, filled by the first process that asks for it while the others wait.

    Nobody may write to it afterwards. Where `make` fails, the next one who asks tries again.
    """
    made = folder.with_name(f"{folder.name}.made")
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
