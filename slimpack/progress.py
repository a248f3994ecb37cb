"""How long work tells of itself, without knowing who listens.

The command line draws bars, plain lines or JSON from these calls; a Python
user who wants silence passes `SILENT`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more units are done."""

    def total(self, amount: int) -> None:
        """Report how many units there are, once that is known."""


class Progress(Protocol):
    """Who listens."""

    def task(
        self, name: str, *, total: int | None = None, unit: str = "B"
    ) -> AbstractContextManager[Task]:
        """Open a task of `total` units ("B" for bytes); closing the context ends it."""

    def note(self, message: str) -> None:
        """Tell something worth reading that is no error."""

    def warn(self, message: str) -> None:
        """Tell something that the user should act on."""


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        """Do nothing."""

    def total(self, amount: int) -> None:
        """Do nothing."""


class _Silent:
    def task(
        self, name: str, *, total: int | None = None, unit: str = "B"
    ) -> AbstractContextManager[Task]:
        return nullcontext(_SilentTask())

    def note(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""


SILENT: Progress = _Silent()
