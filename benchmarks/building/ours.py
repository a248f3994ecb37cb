"""``slimpack build --push`` as a method."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.building.making import CASES, COLD, EMPTY, Step, cpu_of_children
from benchmarks.building.project import Project

_KEPT = ("debian", "pkgs", "repodata")


@dataclass(frozen=True)
class Slimpack:
    """Builds with a cache of its own.

    options: of the build. locked: from the project's lock, else it solves.
    trace: gives the trace of the project; for the profile ``traced``.
    """

    project: Project
    cache: Path
    options: tuple[str, ...] = ()
    locked: bool = False
    trace: Callable[[], Path] | None = None
    cases: Sequence[str] = CASES

    @property
    def commands(self) -> Sequence[str]:
        """What it runs, for the reader."""
        traced = ("--trace", "TRACE") if self.trace else ()
        source = ("pixi.lock",) if self.locked else ("--channel", "CHANNEL")
        return (" ".join(("slimpack build --push REFERENCE", *self.options, *traced, *source)),)

    def prepare(self, case: str) -> float:
        """Empty the cache, or keep what was downloaded; users wait for none of it."""
        if case == EMPTY:
            shutil.rmtree(self.cache, ignore_errors=True)
        elif case == COLD:
            if not self.cache.exists():
                self._download()
            for path in self.cache.iterdir():
                if path.is_dir() and path.name not in _KEPT:
                    shutil.rmtree(path)
        return 0.0

    def _download(self) -> None:
        """Build once, for the packages: nobody asked for the case of an empty cache."""
        with TemporaryDirectory(dir=self.project.folder) as folder:
            options = ("--no-verify", "--output", f"{folder}/image.tar")
            given = self.project.locked_options if self.locked else self.project.options
            self.project.slimpack("build", *options, *given, cache=self.cache)

    def run(self, case: str, reference: str) -> Step:
        """Build and push with one command, whose push is told apart."""
        given = self.project.locked_options if self.locked else self.project.options
        traced = ("--trace", str(self.trace())) if self.trace else ()
        command = ("build", "--push", reference, *self.options, *traced, *given)
        before = cpu_of_children()
        measured = self.project.slimpack(*command, cache=self.cache)
        told = json.loads(measured.output)
        push = float(dict(told["stages"])["output"])
        return Step(
            build=measured.seconds - push,
            push=push,
            cpu=cpu_of_children() - before,
            memory=measured.memory,
            told=told,
        )

    def clean(self, reference: str) -> None:
        """Do nothing: no engine has it."""
