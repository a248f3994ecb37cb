"""How long each part of a command took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """A stop watch: ``with stage("solve"): ...`` adds (name, seconds), in order."""

    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body."""
        start = time.monotonic()
        yield
        self.seconds.append((name, time.monotonic() - start))
