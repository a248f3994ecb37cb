"""Trying again what may go well the next time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from slimpack.registry.failures import PassingError

T = TypeVar("T")


class StoppedError(Exception):
    """Somebody else has failed, or the user has given up: the work is not wanted any more."""


@dataclass(frozen=True)
class Retry:
    """How often, and how long between.

    tries: of one request, the first one included. pause: seconds before the second try;
    each later pause is twice as long, up to `longest`, and somewhat shorter by chance,
    so that many clients do not come back at one moment. A server that asks for up to
    `patience` seconds gets them.
    stopped: once set, nobody waits or tries any more.
    """

    tries: int = 5
    pause: float = 0.5
    longest: float = 15
    patience: float = 60
    stopped: threading.Event = field(default_factory=threading.Event, compare=False)

    def run(self, action: Callable[[], T]) -> T:
        """Return what `action` returns; the last PassingError is raised as it is.

        Raises StoppedError when the work is not wanted any more.
        """
        for left in reversed(range(self.tries)):
            self.check()
            try:
                return action()
            except PassingError as error:
                if not left or (error.wait or 0) > self.patience:
                    raise
                self.sleep(self.tries - 1 - left, error.wait)
        raise AssertionError("unreachable")

    def sleep(self, failed: int, asked: float | None = None) -> None:
        """Wait after the try number `failed`, counted from 0."""
        usual = min(self.longest, self.pause * 2**failed) * random.uniform(0.7, 1)  # noqa: S311
        self.stopped.wait(usual if asked is None else max(asked, min(usual, self.pause)))

    def check(self) -> None:
        """Raise StoppedError if the work is not wanted any more."""
        if self.stopped.is_set():
            raise StoppedError
