"""A workload as it is when people rebuild: its model made beforehand, its channel moving.

Training takes a second and is part of what an image follows from, so a changed package
would train again. What is measured here is the packing, so what ``prepare`` makes are files of
the application, taken from an image of the workload as it is.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rattler

from benchmarks.building.changes import add_line, changed_source
from benchmarks.building.making import APPLICATION, ONE_HEAVY, ONE_PURE
from benchmarks.catalogue import WORKLOADS, Workload
from benchmarks.channel.build import build_channel
from benchmarks.channel.index import index_channel
from benchmarks.channel.renew import renew
from benchmarks.demo import ROOT, say
from benchmarks.running import Measured, RunError, slimpack, slimpack_environment
from slimpack.app import collect
from slimpack.config import AppConfig, Config, CopyRule
from slimpack.config_file import read_config
from slimpack.env.inputs.spec import read_environment_yml
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import read_files

GLIBC = "2.36"  # of Debian 12, on which all images stand


@dataclass(frozen=True)
class Project:
    """`workload`, copied into `folder`, and the channel that it is built from."""

    workload: Workload
    folder: Path

    @property
    def home(self) -> Path:
        """The folder with slimpack.toml."""
        return self.folder / self.workload.name

    @property
    def config(self) -> Config:
        """How the workload is built and run."""
        return read_config(self.home / "slimpack.toml")

    @property
    def channel(self) -> Path:
        """The channel; its packages are those of the local one until they are renewed."""
        return self.folder / "channel"

    @property
    def lock(self) -> Path:
        """What the workload needs of the channel as it is now; see `solve`."""
        return self.folder / "pixi.lock"

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the packages that the workload's specification asks for."""
        specs = read_environment_yml(Path(self.config.env.inputs[0])).specs
        names = (rattler.MatchSpec(spec).name for spec in specs)
        return tuple(name.normalized for name in names if name is not None)

    def make(self) -> None:
        """Make the folder, with all that ``prepare`` makes in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        compileall.compile_dir(ROOT / "slimpack", quiet=1)  # as pip does when it installs
        for name in sorted({self.workload.name, *_beside(self.workload)}):
            shutil.copytree(
                WORKLOADS / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        clone(build_channel(groups=self.workload.groups, report=say), self.channel)
        index_channel(self.channel)
        if self.config.app.prepare:
            self._prepare()

    def _prepare(self) -> None:
        """Build once, and take the files that the application has in the image."""
        say(f"{self.workload.name}: preparing the application, once")
        image = self.folder / "prepared"
        self.slimpack("build", "--no-verify", "--output", f"{image}/", *self.options)
        rules = self.config.app.copy
        known = {entry.path for rule in rules for entry in collect(AppConfig(copy=(rule,)))}
        wanted = made_in(rules, known)
        for path, data in read_files(read_image(image), lambda path: bool(wanted(path))).items():
            place = wanted(path)
            if place is not None and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        shutil.rmtree(image)
        settings = self.home / "slimpack.toml"
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
        return slimpack(*arguments, cwd=self.home, cache=cache or self._cache)

    def environment(self, cache: Path | None = None) -> Mapping[str, str]:
        """Return the variables that slimpack gets."""
        return slimpack_environment(cache or self._cache)

    @property
    def _cache(self) -> Path:
        return self.folder / "cache"

    def change(self, case: str) -> None:
        """Change what a case of a rebuild is about, if it is about anything."""
        if case == APPLICATION:
            self.change_application()
        elif case == ONE_PURE:
            self.change_package(self.workload.pure)
        elif case == ONE_HEAVY:
            self.change_package(self.workload.heavy)

    def change_application(self) -> None:
        """Add a line to the service: to main.py, or else to the first text of the application."""
        texts = [
            path
            for rule in self.config.app.copy[:1]
            for entry in collect(AppConfig(copy=(rule,)))
            for path in [_source_of(rule, entry.path)]
            if path.is_file() and b"\0" not in path.read_bytes()
        ]
        chosen = min(texts, key=lambda path: (path.name != "main.py", str(path)), default=None)
        if chosen is None:
            raise RunError(f"{self.workload.name} has no text in its application to change")
        chosen.write_bytes(add_line(chosen.name, chosen.read_bytes()))

    def change_package(self, name: str) -> None:
        """Publish a next build of a package, with a line more in one of its sources.

        A lock follows: it tells which build of the package is in use.
        """
        newest, number = self.newest(name)
        build = next_build(newest, number + 1)
        path = renew(newest, self.channel, changed_source, build=build)
        say(f"published {path.name}")
        index_channel(self.channel)
        if self.lock.exists():
            self.solve()

    def newest(self, name: str) -> tuple[Path, int]:
        """Return the package with the highest build number, and that number.

        Of several versions and variants it is the one in the lock, once there is a lock: the
        channel may have others for other platforms or GPUs.
        """
        locked = {path.name for path in self.locked()} if self.lock.exists() else set()
        found = []
        for index in self.channel.glob("*/repodata.json"):
            if index.parent.name in ("noarch", "linux-64"):
                table = json.loads(index.read_bytes())["packages.conda"]
                found += [
                    (record["build_number"], index.parent / file)
                    for file, record in table.items()
                    if record["name"] == name
                ]
        if not found:
            raise RunError(f"the local channel has no package {name}, which should change")
        number, path = max([one for one in found if one[1].name in locked] or found)
        return path, number

    def solve(self) -> None:
        """Bring the lock up to date, for those who install from one."""
        options = ("--channel", self.channel.as_uri(), "--glibc", GLIBC)
        self.slimpack("lock", *options, "--output", str(self.lock), "--quiet")

    def locked(self) -> list[Path]:
        """Return the package files of the lock, which has paths for those of a local channel."""
        names = re.findall(r"^- conda: (\S+)$", self.lock.read_text("utf-8"), re.MULTILINE)
        if not names:
            raise RunError(f"no packages in {self.lock}")
        return sorted(map(Path, names))


def next_build(package: Path, number: int) -> str:
    """Return the build string with another number; the rest is what others may ask for (cpu*)."""
    build = package.name.removesuffix(".conda").rpartition("-")[2]
    return f"{build.rpartition('_')[0] or 'next'}_{number}"


def made_in(rules: Sequence[CopyRule], known: Collection[str]) -> Callable[[str], Path | None]:
    """Return what tells where a file of the image that ``prepare`` made belongs; None for others.

    known: paths that are there without it, as files that are copied one by one are.
    """
    folders = [(rule.target.strip("/"), rule.source) for rule in rules if rule.source.is_dir()]
    folders.sort(key=lambda folder: len(folder[0]), reverse=True)

    def place(path: str) -> Path | None:
        if path in known or path.endswith(".pyc"):
            return None
        within = (pair for pair in folders if path.startswith(f"{pair[0]}/"))
        target, source = next(within, ("", None))
        return source / path.removeprefix(f"{target}/") if source else None

    return place


def _beside(workload: Workload) -> set[str]:
    """Return the names of the folders beside the workload's own that its application has."""
    rules = read_config(workload.config).app.copy
    return {rule.source.resolve().relative_to(WORKLOADS).parts[0] for rule in rules}


def _source_of(rule: CopyRule, path: str) -> Path:
    """Return which file becomes a path of the image."""
    if rule.source.is_file():
        return rule.source
    return rule.source / path.removeprefix(rule.target.strip("/")).lstrip("/")


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
