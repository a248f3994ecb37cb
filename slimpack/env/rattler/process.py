"""Running one request in a py-rattler worker process; see `slimpack.env.rattler.worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

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


def call(
    request: dict[str, Any], *, where: str, on_event: Callable[[dict[str, Any]], None] = _ignore
) -> dict[str, Any]:
    """Run one request in a worker process and return its result.

    where: what the request is about, for messages. on_event: hears what the worker
    tells while it works. Raises the children of SlimpackError that `_ERRORS` names.
    """
    with tempfile.TemporaryFile() as stderr:
        worker = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, json.dumps([entry or "." for entry in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        try:
            closing = _converse(worker, request, on_event)
        finally:
            # Also on Ctrl-C: the worker must not go on writing into a prefix that is removed.
            worker.kill()
            worker.wait()
        if closing is None:
            stderr.seek(0)
            raise InstallError(
                f"the py-rattler worker ended without an answer (exit code {worker.returncode})",
                details=stderr.read()[-4000:].decode("utf-8", "replace").strip(),
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
        worker.stdin.write(json.dumps(request).encode())
        worker.stdin.close()
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
