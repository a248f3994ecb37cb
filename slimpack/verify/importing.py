"""Importing the modules of a subject in its own interpreter, and learning which fail."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimpack.verify.context import Baseline, Runner, Watched
from slimpack.verify.dependence import Dependence, Rows
from slimpack.verify.modules import Importable

_SECONDS = 60  # for one module
_TOGETHER = 900.0  # for all of them
_DEATHS = 20
_ALONE = 100
_MAX_OUTPUT = 64 << 20
_PROGRAM = Path(__file__).with_name("import_worker.py")
_RECORDER = Path(__file__).with_name("import_recorder.py")


@dataclass(frozen=True)
class Failure:
    """A module that cannot be imported. missing: module that was not found, "" for other errors."""

    module: str
    message: str
    missing: str = ""


def import_all(
    runner: Runner, python: str, modules: Sequence[Importable], watched: Watched | None = None
) -> list[Failure]:
    """Import `modules`, in their order, in one process; return those that fail.

    python: absolute path of the interpreter. When the process dies, the module that it was
    at is the culprit, and a new process goes on behind it. What failed is tried again
    alone: only what fails then, too, is returned. watched: learns which of its files are read,
    and what modules depend on.
    """
    if not modules:
        return []
    watched = watched or Watched()
    failed = _together(runner, python, modules, watched)
    again = [module for module in modules if module.name in failed][:_ALONE]
    watched.retried.update(failed)
    outcome = _Outcome() if not again else _ask(runner, python, again, watched, alone=True)
    return [
        outcome.failed.get(name, failure)
        for name, failure in failed.items()
        if name not in outcome.done
    ]


def baseline(runner: Runner, python: str) -> Baseline:
    """Return what tells which modules fail where `runner` runs: the environment before.

    A module that is not there at all is none of them: it did not fail, it is new.
    """

    def ask(names: Sequence[str]) -> set[str]:
        modules = [Importable(name, "", "") for name in names]
        failures = import_all(runner, python, modules)
        return {
            one.module for one in failures if not f"{one.module}.".startswith(f"{one.missing}.")
        }

    return ask


class _Outcome:
    """What one process has reported.

    last: the module that it was at. ended: it came to its end by itself; a module may end it
    with exit code 0. why: it did not, and how. rows: takes what modules depend on.
    """

    def __init__(self, dependence: Dependence | None = None) -> None:
        self.rows = Rows(dependence) if dependence is not None else None
        self.recorded = False
        self.done: set[str] = set()
        self.failed: dict[str, Failure] = {}
        self.last = ""
        self.ended = False
        self.why = ""

    def take(self, what: str, value: object) -> None:
        """Take a line of the recorder; one that is damaged counts as lost."""
        assert self.rows is not None
        if what == "recorded":
            self.recorded = True
            self.rows.end(value)
            return
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            self.rows.take(value)
            return
        self.rows.end(None)


def _together(
    runner: Runner, python: str, modules: Sequence[Importable], watched: Watched
) -> dict[str, Failure]:
    failed: dict[str, Failure] = {}
    waiting = list(modules)
    end = time.monotonic() + _TOGETHER
    for _ in range(_DEATHS):
        outcome = _ask(runner, python, waiting, watched, seconds=end - time.monotonic())
        failed.update(outcome.failed)
        watched.loaded.update(
            (module.name, module.package) for module in waiting if module.name in outcome.done
        )
        if not outcome.why:
            return failed
        names = [module.name for module in waiting]
        culprit = outcome.last or names[0]
        failed[culprit] = Failure(culprit, outcome.why)
        waiting = waiting[names.index(culprit) + 1 :]
        if not waiting or not outcome.last or time.monotonic() > end:
            break
    failed.update(
        (module.name, Failure(module.name, "it was not tried: too many others ended the process"))
        for module in waiting
    )
    return failed


def _ask(
    runner: Runner,
    python: str,
    modules: Sequence[Importable],
    watched: Watched,
    *,
    alone: bool = False,
    seconds: float = _TOGETHER,
) -> _Outcome:
    request = {
        "modules": [(module.name, module.stdlib) for module in modules],
        "seconds": _SECONDS,
        "alone": alone,
        "watched": sorted(watched.paths),
        "recorder": _RECORDER.read_text(encoding="utf-8") if watched.record and not alone else "",
    }
    done = runner.run(
        [python, "-B", "-c", _PROGRAM.read_text(encoding="utf-8")],
        stdin=json.dumps(request).encode(),
        timeout=max(seconds, 1.0),
        max_output=_MAX_OUTPUT,
    )
    outcome = _Outcome(watched.dependence if request["recorder"] else None)
    known = {module.name for module in modules}
    for line in done.stdout.splitlines():
        _note(outcome, line, known, watched)
    if request["recorder"] and outcome.ended and not outcome.recorded:
        watched.dependence.complete = False  # an interpreter that cannot be watched
    if done.returncode or done.timed_out or not outcome.ended:
        outcome.why = _reason(done.returncode, done.timed_out, done.stderr)
    return outcome


def _note(outcome: _Outcome, line: bytes, known: set[str], watched: Watched) -> None:
    """Take one line of the worker; what is none was written by a module."""
    try:
        what, name, *rest = json.loads(line)
        if what == "end":
            outcome.ended = True
        if what == "read" and name in watched.paths:
            watched.read.add(name)
        if what in ("saw", "recorded") and outcome.rows is not None:
            outcome.take(what, name)
        if not isinstance(name, str) or name not in known:
            return
        if what == "start":
            outcome.last = name
        elif what == "ok":
            outcome.done.add(name)
        elif what == "failed":
            outcome.failed[name] = Failure(name, str(rest[0]), str(rest[1]))
    except (ValueError, TypeError, IndexError, RecursionError):
        return


def _reason(code: int, timed_out: bool, stderr: bytes) -> str:
    if timed_out or code == 128 + 14:
        return f"it took more than {_SECONDS} seconds"
    text = f"it was ended by signal {code - 128}" if code > 128 else f"exit code {code}"
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    last = re.sub(r"\s+", " ", lines[-1])[:200] if lines else ""
    return f"the interpreter ended ({text}){f': {last}' if last else ''}"
