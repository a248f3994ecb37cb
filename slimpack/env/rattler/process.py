"""Running requests in a py-rattler worker process; see `slimpack.env.rattler.worker`.

To start one and import py-rattler takes about as long as to solve and install a few packages:
`standing` does that beforehand, and keeps the process between requests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from slimpack.env.locks.lock import NotForPlatformError
from slimpack.env.redact import redacted
from slimpack.errors import InputError, InstallError, SlimpackError, SolveError

# The worker must find the same packages as this process, however those came on sys.path,
# and nothing from the folder that the user happens to be in (-I).
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from slimpack.env.rattler.worker import main; main()"
)
_ERRORS: dict[str, tuple[type[SlimpackError], str, str]] = {
    "input": (InputError, "", ""),
    "platform": (NotForPlatformError, "", ""),
    "solve": (
        SolveError,
        "no environment satisfies the specs",
        "loosen a spec that the explanation names, or add the channel that has it",
    ),
    "fetch": (
        InstallError,
        "a channel could not be read",
        "check the channel's name and the network; a local one is written file:///path",
    ),
    "install": (
        InstallError,
        "the packages could not be installed",
        "a damaged download is fetched again when the build is repeated",
    ),
    "unexpected": (SlimpackError, "py-rattler failed", ""),
    "read_lock": (InputError, "the lock cannot be used", ""),
    "resolve_explicit": (InstallError, "the list cannot be used", ""),
    "fetch_packages": (
        InstallError,
        "the packages of the lock cannot be had",
        "check the network; lock the environment again if the channel has other files now",
    ),
    "merge_locks": (InputError, "the locks cannot be joined", ""),
    "cuda_builds": (InstallError, "the channels cannot be asked for builds for CUDA", ""),
    "lock_facts": (InputError, "the lock cannot be compared", ""),
    "lock_records": (SlimpackError, "the solver's records cannot be used", ""),
}


def _ignore(event: dict[str, Any]) -> None:
    """Take no notice of an event."""


@dataclass(frozen=True)
class _Worker:
    """A process that waits for a request. stderr: a file without a name that it writes to."""

    process: subprocess.Popen[bytes]
    stderr: IO[bytes]

    def end(self) -> bytes:
        """Kill it, and return what it said on stderr."""
        self.process.kill()
        self.process.communicate()
        with self.stderr:
            self.stderr.seek(0)
            return self.stderr.read()


@dataclass
class _Standing:
    """The worker that waits for the next request, if one is to. wanted: by how many."""

    wanted: int = 0
    idle: list[_Worker] = field(default_factory=list)

    def take(self) -> _Worker | None:
        """Return the one that waits; None without any, or when somebody has killed it."""
        while self.idle:
            worker = self.idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.end()
        return None

    def give(self, worker: _Worker) -> bool:
        """Let a worker wait; False where nobody wants it to."""
        if self.wanted and not self.idle:
            self.idle.append(worker)
            return True
        return False


_standing = _Standing()


@contextmanager
def standing() -> Iterator[None]:
    """Start a worker for the requests to come, which are answered by it one after the other."""
    _standing.wanted += 1
    try:
        if not _standing.idle:
            _standing.give(_start())
        yield
    finally:
        _standing.wanted -= 1
        while not _standing.wanted and _standing.idle:
            _standing.idle.pop().end()


def _start() -> _Worker:
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 (`_Worker.end` closes it)
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT, json.dumps([entry or "." for entry in sys.path])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    return _Worker(process, stderr)


def call(
    request: dict[str, Any], *, where: str, on_event: Callable[[dict[str, Any]], None] = _ignore
) -> dict[str, Any]:
    """Run one request in a worker process, a standing one if there is, and return its result.

    where: what the request is about, for messages. on_event: hears what the worker
    tells while it works. Raises the children of SlimpackError that `_ERRORS` names.
    """
    worker, closing, said = _standing.take() or _start(), None, b""
    try:
        closing = _converse(worker.process, request, on_event)
    finally:
        # Also on Ctrl-C: the worker must not go on writing into a prefix that is removed.
        if closing is None or "error" in closing or not _standing.give(worker):
            said = worker.end()
    if closing is None:
        code = worker.process.returncode
        raise InstallError(
            f"the py-rattler worker ended without an answer (exit code {code})",
            details=said[-4000:].decode("utf-8", "replace").strip(),
            hint="run the command again; report it if it stays",
        )
    if "error" in closing:
        raise _error(closing["error"], where)
    result: dict[str, Any] = closing["result"]
    return result


def _converse(
    worker: subprocess.Popen[bytes],
    request: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None],
) -> dict[str, Any] | None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        worker.stdin.flush()
    except BrokenPipeError:
        return None
    for line in worker.stdout:
        if not line.endswith(b"\n"):
            return None  # killed in the middle of a line
        message: dict[str, Any] = json.loads(line)
        if "event" not in message:
            return message
        on_event(message)
    return None


def _error(error: dict[str, str], where: str) -> SlimpackError:
    kind, summary, hint = _ERRORS.get(error["kind"], (SlimpackError, "", ""))
    message = redacted(error["message"])
    if not summary:
        return kind(f"{where}: {message}", hint=hint)
    return kind(f"{where}: {summary}", details=message, hint=hint)
