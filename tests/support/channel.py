"""Small conda channels made in a test, and what tests do when something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channel import index_channel, write_conda
from slimpack.env.inputs.spec import EnvSpec

Run = Callable[..., subprocess.CompletedProcess[str]]
"""The `run` fixture: runs slimpack in a folder and checks its exit code."""

ROOT = Path(__file__).resolve().parent.parent.parent
GLIBC = [("__glibc", "2.36", "0"), ("__unix", "0", "0"), ("__linux", "5.10", "0")]


def missing(what: str, reason: str) -> None:
    """Skip the test, or fail it where `what` (CHANNEL, ENGINE, NETWORK) is required."""
    if os.environ.get(f"SLIMPACK_REQUIRE_{what}") == "1":
        pytest.fail(f"SLIMPACK_REQUIRE_{what}=1, but {reason}")
    pytest.skip(reason)


def snapshot(channel: Path, folder: Path) -> None:
    """Copy a channel as it is now; its packages are hard links where the file system allows.

    Nobody changes a package in place, as its index may be.
    """
    for path in channel.glob("[!.]*/*"):
        target = folder / path.relative_to(channel)
        target.parent.mkdir(exist_ok=True)
        try:
            (os.link if path.suffix == ".conda" else shutil.copy2)(path, target)
        except OSError:  # another file system
            shutil.copy2(path, target)


class MiniChannel:
    """Collects small packages; `url` indexes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, files: Mapping[str, Any], **fields: Any) -> Path:
        """Make a package (see `benchmarks.channel.write_conda`)."""
        return write_conda(self.folder, name=name, files=files, **fields)

    @property
    def url(self) -> str:
        """Index the channel and return its URL."""
        index_channel(self.folder)
        return self.folder.as_uri()

    def spec(self, *specs: str) -> EnvSpec:
        """Return a specification of packages from here."""
        return EnvSpec(name="t", channels=(self.url,), specs=specs, source="environment.yml")
