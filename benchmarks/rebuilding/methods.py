"""What is compared, case by case, and slimpack as the first way; see `dockerfiles` for others."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.rebuilding.project import HEAVY, PURE, Project
from benchmarks.rebuilding.pushed import REPOSITORY, TAG

EMPTY = "cold, empty cache"
PACKAGES = "cold, packages at hand"
SAME = "nothing changed"
APPLICATION = "application line changed"
ONE_PURE = f"pure package changed ({PURE})"
ONE_HEAVY = f"heavy package changed ({HEAVY})"
CASES = (EMPTY, PACKAGES, SAME, APPLICATION, ONE_PURE, ONE_HEAVY)

SLIMPACK, UNVERIFIED = "slimpack", "slimpack, --no-verify"
LOCKED, LOCKED_UNVERIFIED = "slimpack, lock", "slimpack, lock, --no-verify"
OURS = (SLIMPACK, UNVERIFIED, LOCKED, LOCKED_UNVERIFIED)
NAIVE, PACKED = "Dockerfile", "conda-pack, Dockerfile"
METHODS = (*OURS, NAIVE, PACKED)

_KEPT = ("debian", "pkgs", "repodata")


@dataclass(frozen=True)
class Step:
    """One build with its push.

    build, push: seconds; a push that is part of the build is counted in both.
    cpu: seconds, of the engine too. memory: bytes of the largest process that was started
    here, so not of the engine. told: slimpack's JSON.
    """

    build: float
    push: float
    cpu: float
    memory: int
    told: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A way to build and push the project in each of its `cases`."""

    @property
    def cases(self) -> Sequence[str]:
        """The cases that it has."""

    def prepare(self, case: str) -> None:
        """Do what goes before and is not measured."""

    def run(self, case: str, host: str) -> Step:
        """Build the project as it is now and push it to a registry."""

    def check(self, host: str) -> None:
        """See that the image which was pushed works; RunError when it does not."""


@dataclass(frozen=True)
class Slimpack:
    """``slimpack build --push``, with a cache of its own. locked: from the project's lock."""

    project: Project
    cache: Path
    options: tuple[str, ...] = ()
    locked: bool = False
    cases: Sequence[str] = CASES

    def prepare(self, case: str) -> None:
        """Empty the cache, or keep what was downloaded."""
        if case == EMPTY:
            shutil.rmtree(self.cache, ignore_errors=True)
        elif case == PACKAGES:
            for path in self.cache.iterdir():
                if path.is_dir() and path.name not in _KEPT:
                    shutil.rmtree(path)

    def run(self, case: str, host: str) -> Step:
        """Build and push with one command."""
        given = self.project.locked_options if self.locked else self.project.options
        command = ("build", "--push", f"{host}/{REPOSITORY}:{TAG}", *self.options, *given)
        before = cpu_of_children()
        measured = self.project.slimpack(*command, cache=self.cache)
        told = json.loads(measured.output)
        return Step(
            build=measured.seconds,
            push=dict(told["stages"])["output"],
            cpu=cpu_of_children() - before,
            memory=measured.memory,
            told=told,
        )

    def check(self, host: str) -> None:
        """Do nothing: slimpack verifies its images itself, without this option as well as with."""


def cpu_of_children() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
