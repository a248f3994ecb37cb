"""Workload W1 as it is when people rebuild: its model made beforehand, its channel moving.

Training takes a second and is part of what an image follows from, so a changed package
would train again. What is measured here is the packing, so the model is a file of the
application, taken from an image of the workload as it is.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.build import build_channel
from benchmarks.channel.index import index_channel
from benchmarks.channel.renew import one_line_more, renew
from benchmarks.demo import ROOT, say
from benchmarks.running import Measured, RunError, measure
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import read_files

WORKLOADS = ROOT / "benchmarks" / "workloads"
MODEL = "app/model.pickle"
PURE, HEAVY = "idna", "scipy"
_CHANGED = {PURE: "idna/core.py", HEAVY: "scipy/version.py"}
_GLIBC = "2.36"  # of Debian 12, on which all images stand
_LINE = "\n# one line more\n"


@dataclass(frozen=True)
class Project:
    """The workload in `folder`/w1, and the channel `folder`/channel that it is built from."""

    folder: Path

    @property
    def config(self) -> Path:
        """The folder with slimpack.toml."""
        return self.folder / "w1"

    @property
    def channel(self) -> Path:
        """The channel; its packages are those of the local one until they are renewed."""
        return self.folder / "channel"

    @property
    def lock(self) -> Path:
        """What the workload needs of the channel as it is now; see `solve`."""
        return self.folder / "pixi.lock"

    def make(self) -> None:
        """Make the folder, with the model in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        compileall.compile_dir(ROOT / "slimpack", quiet=1)  # as pip does when it installs
        for name in ("w1", "checks"):
            shutil.copytree(
                WORKLOADS / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        clone(build_channel(groups=("workloads",), report=say), self.channel)
        index_channel(self.channel)
        image = self.folder / "trained"
        say("making the model, once")
        self.slimpack("build", "--no-verify", "--output", f"{image}/", *self.options)
        model = read_files(read_image(image), lambda path: path == MODEL)[MODEL]
        shutil.rmtree(image)
        (self.config / MODEL).write_bytes(model)
        settings = self.config / "slimpack.toml"
        settings.write_text(without_prepare(settings.read_text(encoding="utf-8")), "utf-8")

    @property
    def options(self) -> tuple[str, ...]:
        """Of every build."""
        return "--channel", self.channel.as_uri(), "--json", "--progress", "none"

    @property
    def locked_options(self) -> tuple[str, ...]:
        """Of every build from the lock."""
        return str(self.lock), "--json", "--progress", "none"

    def slimpack(self, *arguments: str, cache: Path | None = None) -> Measured:
        """Run slimpack in the project as users do; `cache`: instead of the project's own."""
        command = (sys.executable, "-m", "slimpack", *arguments)
        return measure(command, cwd=self.config, env=self.environment(cache))

    def environment(self, cache: Path | None = None) -> Mapping[str, str]:
        """Return the variables that slimpack gets."""
        own = {"SLIMPACK_CACHE_DIR": str(cache or self.folder / "cache"), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **own}

    def change_application(self) -> None:
        """Add a line to the service."""
        with (self.config / "app" / "main.py").open("a", encoding="utf-8") as stream:
            stream.write(_LINE)

    def change_package(self, name: str) -> None:
        """Publish a next build of a package, with a line more in one of its sources."""
        newest, number = self.newest(name)
        path = renew(
            newest, self.channel, one_line_more(_CHANGED[name]), build=f"next_{number + 1}"
        )
        say(f"published {path.name}")
        index_channel(self.channel)

    def newest(self, name: str) -> tuple[Path, int]:
        """Return the package with the highest build number, and that number."""
        found = []
        for index in self.channel.glob("*/repodata.json"):
            if index.parent.name in ("noarch", "linux-64"):
                table = json.loads(index.read_bytes())["packages.conda"]
                found += [
                    (record["build_number"], index.parent / file)
                    for file, record in table.items()
                    if record["name"] == name
                ]
        number, path = max(found)
        return path, number

    def solve(self) -> None:
        """Bring the lock up to date, for those who install from one."""
        options = ("--channel", self.channel.as_uri(), "--glibc", _GLIBC)
        self.slimpack("lock", *options, "--output", str(self.lock), "--quiet")

    def locked(self) -> list[Path]:
        """Return the package files of the lock, which has paths for those of a local channel."""
        names = re.findall(r"^- conda: (\S+)$", self.lock.read_text("utf-8"), re.MULTILINE)
        if not names:
            raise RunError(f"no packages in {self.lock}")
        return sorted(map(Path, names))


def without_prepare(settings: str) -> str:
    """Return a slimpack.toml without its ``prepare`` line; ValueError when it has none."""
    found, count = re.subn(r"^prepare = .*\n", "", settings, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"there are {count} prepare lines, expected 1")
    return found


def clone(source: Path, target: Path) -> None:
    """Copy a channel's packages; they are hard links where the file system allows."""
    for path in source.glob("*/*.conda"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        link(path, copy)


def link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where none can be made."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
