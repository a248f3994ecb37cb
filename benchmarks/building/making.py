"""Making images of a workload again and again: the cases, what one build costs, and by whom."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

EMPTY = "cold, empty cache"
COLD = "cold"
SAME = "nothing changed"
APPLICATION = "application changed"
ONE_PURE = "one pure package changed"
ONE_HEAVY = "one heavy package changed"
CASES = (EMPTY, COLD, SAME, APPLICATION, ONE_PURE, ONE_HEAVY)
"""`COLD` has the packages at hand and nothing else; `EMPTY` has not even these."""

NEW_ENVIRONMENT = (COLD, ONE_PURE, ONE_HEAVY)
"""Where those who do not solve get another lock."""

TAG = "1"


@dataclass(frozen=True)
class Step:
    """One build with its push.

    build, push: seconds, of which none counts twice. cpu: seconds, of the engine too.
    memory: bytes of the largest process, the engine among them.
    told: slimpack's JSON.
    """

    build: float
    push: float
    cpu: float
    memory: int
    told: Mapping[str, Any] = field(default_factory=dict)


class Maker(Protocol):
    """A method at work on a project, in each of its `cases`."""

    @property
    def cases(self) -> Sequence[str]:
        """The cases that it has."""

    @property
    def commands(self) -> Sequence[str]:
        """What it runs, for the reader."""

    def prepare(self, case: str) -> float:
        """Do what goes before; return the seconds of it that its user waits for, too."""

    def run(self, case: str, reference: str) -> Step:
        """Make the image of the project as it is now, and push it as HOST/NAME:TAG."""

    def clean(self, reference: str) -> None:
        """Remove from this machine what `run` left under a reference."""


def cpu_of_children() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
