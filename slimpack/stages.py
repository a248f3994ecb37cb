"""How long each part of a command took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """A stop watch: ``with stage("solve"): ...`` counts the seconds of a name, in order.

    A stage that comes again counts where it came first.
    """

    _seconds: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> list[tuple[str, float]]:
        """What was counted: (name, seconds)."""
        return list(self._seconds.items())

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body."""
        start = time.monotonic()
        yield
        taken = time.monotonic() - start
        self._seconds[name] = self._seconds.get(name, 0.0) + taken
