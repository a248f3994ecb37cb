"""One environment of a given shape on this machine, and what is done to it: built, and packed.

Everything lies in one folder: the channel, slimpack's cache with the packages, a lock, and the
environment installed in a prefix, for those who pack one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.building.project import GLIBC, clone
from benchmarks.channel.build import build_channel
from benchmarks.channel.index import index_channel
from benchmarks.demo import say
from benchmarks.running import Measured, measure, slimpack
from benchmarks.scaling.shapes import Shape, make_packages
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.oci.compress import DEFAULT
from slimpack.platforms import SUBDIRS, resolve

THREADS = 2
_PREFIX_IN_IMAGE = "/opt/env"
VERIFIED, UNVERIFIED = "verified", "--no-verify"
# In the environment's folder. conda-pack's tar.zst has a level of its own, 3.
TAR_COMMAND = f"tar -C prefix -cf - . | zstd -q -f -T{THREADS} -{DEFAULT.level} -o out/env.tar.zst"
CONDA_PACK_COMMAND = (
    *("conda-pack", "--quiet", "--force", "--prefix", "prefix", "--format", "tar.zst"),
    *("--dest-prefix", _PREFIX_IN_IMAGE, "--n-threads", str(THREADS)),
    *("--output", "out/env.tar.zst"),
)


@dataclass(frozen=True)
class Build:
    """A build, and what it told. stages: name -> seconds. size: bytes of its compressed layers."""

    measured: Measured
    stages: Mapping[str, float]
    size: int


@dataclass(frozen=True)
class Environment:
    """See above; `make` comes first."""

    folder: Path
    shape: Shape

    @property
    def channel(self) -> Path:
        """Its packages, and those of CPython where the shape has modules."""
        return self.folder / "channel"

    @property
    def lock(self) -> Path:
        """What is built."""
        return self.folder / "pixi.lock"

    @property
    def prefix(self) -> Path:
        """The environment, installed; its files are hard links into slimpack's cache."""
        return self.folder / "prefix"

    @property
    def cache(self) -> Path:
        """slimpack's; has the packages, unpacked, and nothing of a build."""
        return self.folder / "cache"

    @property
    def output(self) -> Path:
        """What is made, one thing at a time."""
        return self.folder / "out"

    def make(self) -> None:
        """Make the packages, solve, download, install."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.shape.python:
            clone(build_channel(report=say), self.channel)
        make_packages(self.shape, self.channel, say)
        index_channel(self.channel)
        self._slimpack("lock", *self.shape.specs, *self._solving, "--output", str(self.lock))
        engine = RattlerEngine(self.cache / "pkgs", self.cache / "repodata")
        engine.install(engine.read_lock(self.lock, SUBDIRS[resolve("")]), self.prefix)

    def build(self, case: str) -> Build:
        """Build an image from the lock into an OCI layout; nothing of an earlier build is used."""
        self._clear()
        options = ("--no-cache", "--json", "--progress", "none")
        more = () if case == VERIFIED else (case,)
        measured = self._slimpack(
            "build", str(self.lock), *options, *more, "--output", f"{self.output}/"
        )
        told = json.loads(measured.output)
        stages: dict[str, float] = {}
        for name, seconds in told["stages"]:
            stages[name] = stages.get(name, 0.0) + seconds
        return Build(measured, stages, told["size"])

    def tar(self) -> Measured:
        """Pack the prefix with tar and zstd: no relocation, no checks, one layer."""
        self._clear()
        return measure(("sh", "-c", TAR_COMMAND), cwd=self.folder)

    def conda_pack(self) -> Measured:
        """Pack the prefix with conda-pack, for the place that it has in the image."""
        self._clear()
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return measure(CONDA_PACK_COMMAND, cwd=self.folder, env={**os.environ, "PATH": programs})

    def remove(self) -> None:
        """Give the disk back."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _solving(self) -> tuple[str, ...]:
        return "--channel", self.channel.as_uri(), "--glibc", GLIBC, "--quiet"

    def _clear(self) -> None:
        """Nobody pays for what others left, or left to be written to the disk."""
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()
        os.sync()

    def _slimpack(self, *arguments: str) -> Measured:
        return slimpack(*arguments, cwd=self.folder, cache=self.cache)
