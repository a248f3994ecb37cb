"""Drawing progress: bars on a terminal, plain lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from slimpack.progress import SILENT, Progress, Task

if TYPE_CHECKING:  # takes longer to import than most commands' own code
    from tqdm import tqdm

_JSON_INTERVAL_SECONDS = 0.5

STYLES = ("auto", "bar", "line", "json", "none")


def choose(style: str = "auto", *, quiet: bool = False, as_json: bool = False) -> Progress:
    """Return how to draw; "auto" means JSON lines for --json, nothing for --quiet, else what fits.

    Bars are for terminals, lines for logs.
    """
    if style == "auto":
        if as_json or quiet:
            style = "json" if as_json else "none"
        else:
            style = "bar" if sys.stderr and sys.stderr.isatty() else "line"
    drawn: dict[str, type[Progress]] = {
        "bar": BarProgress,
        "line": LineProgress,
        "json": JsonProgress,
        "none": QuietProgress,
    }
    return drawn[style]()


class QuietProgress:
    """Says only what the user should act on."""

    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Any:
        """Tell nothing."""
        return SILENT.task(name, total=total, unit=unit)

    def note(self, message: str) -> None:
        """Tell nothing."""

    def warn(self, message: str) -> None:
        """Print a warning."""
        click.echo(f"warning: {message}", err=True)


class LineProgress(QuietProgress):
    """One line when a task ends: for logs, where a bar would be a mess."""

    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Task]:
        """Print the task's name, amount and time at its end."""
        counter = _Counter(total)
        start = time.monotonic()
        yield counter
        amount = f", {_amount(counter.done, unit)}" if counter.done else ""
        click.echo(f"{name}{amount}, {time.monotonic() - start:.1f} s", err=True)

    def note(self, message: str) -> None:
        """Print a note."""
        click.echo(f"note: {message}", err=True)


class BarProgress(LineProgress):
    """A bar for each task."""

    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Task]:
        """Draw a bar; leave it at 100 % when the task ends."""
        from tqdm import tqdm

        with tqdm(
            desc=f"{name:<24.24}",
            total=total,
            unit=unit if unit == "B" else f" {unit}s",
            unit_scale=unit == "B",
            dynamic_ncols=True,
            bar_format=None if total else "{desc} {elapsed}",
        ) as bar:
            yield _Bar(bar)

    def note(self, message: str) -> None:
        """Print a note above the bars."""
        from tqdm import tqdm

        tqdm.write(f"note: {message}", file=sys.stderr)

    def warn(self, message: str) -> None:
        """Print a warning above the bars."""
        from tqdm import tqdm

        tqdm.write(f"warning: {message}", file=sys.stderr)


class JsonProgress:
    """One JSON object a line on stderr; the result goes to stdout."""

    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Task]:
        """Print the task's begin, a few states, and its end."""
        task = _JsonTask(name, total, unit)
        task.print("begin")
        yield task
        task.print("end")

    def note(self, message: str) -> None:
        """Print a note."""
        _print_json({"note": message})

    def warn(self, message: str) -> None:
        """Print a warning."""
        _print_json({"warning": message})


class _Counter:
    def __init__(self, total: int | None) -> None:
        self.done = 0
        self.all = total

    def advance(self, amount: int = 1) -> None:
        self.done += amount

    def total(self, amount: int) -> None:
        self.all = amount


class _JsonTask(_Counter):
    def __init__(self, name: str, total: int | None, unit: str) -> None:
        super().__init__(total)
        self._name = name
        self._unit = unit
        self._last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        super().advance(amount)
        if time.monotonic() - self._last >= _JSON_INTERVAL_SECONDS:
            self.print("progress")

    def print(self, event: str) -> None:
        self._last = time.monotonic()
        _print_json(
            {
                "task": self._name,
                "event": event,
                "done": self.done,
                "total": self.all,
                "unit": self._unit,
            }
        )


class _Bar:
    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def advance(self, amount: int = 1) -> None:
        self._bar.update(amount)

    def total(self, amount: int) -> None:
        self._bar.total = amount
        self._bar.refresh()


def _amount(done: int, unit: str) -> str:
    if unit == "B":
        return f"{done / 1e6:.1f} MB"
    return f"{done} {unit}" if done == 1 else f"{done} {unit}s"


def _print_json(message: dict[str, object]) -> None:
    click.echo(json.dumps(message), err=True)
