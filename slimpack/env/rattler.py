"""The embedded engine: py-rattler, in a short-lived worker process.

See `slimpack.env.worker` for why it is a process and for the protocol.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimpack.env.lock import ExplicitEntry, Lock, LockedPackage
from slimpack.env.redact import redacted
from slimpack.env.spec import EnvSpec
from slimpack.errors import InputError, InstallError, SlimpackError, SolveError
from slimpack.progress import SILENT, Progress

# The worker must find the same packages as this process, however those came on sys.path,
# and nothing from the folder that the user happens to be in (-I).
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from slimpack.env.worker import main; main()"
)
_ERRORS: dict[str, tuple[type[SlimpackError], str, str]] = {
    "input": (InputError, "", ""),
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
}


@dataclass(frozen=True)
class RattlerEngine:
    """Solves and installs with py-rattler.

    package_cache: extracted packages, shared by all builds (py-rattler locks
        each entry, so concurrent builds are safe).
    repodata_cache: channel indexes.
    """

    package_cache: Path
    repodata_cache: Path

    def solve(
        self,
        spec: EnvSpec,
        subdir: str,
        virtual_packages: Sequence[tuple[str, str, str]],
        *,
        strict_priority: bool = True,
    ) -> Lock:
        """Find the packages for `spec`.

        virtual_packages: (name, version, build) of what the image's base
        provides; the host's are never asked.

        Raises SolveError with the solver's explanation, InputError for a
        malformed spec, InstallError when a channel cannot be read.
        """
        if not spec.channels:
            raise InputError(
                f"{spec.source}: no channels",
                hint="add 'channels: [conda-forge]' or pass --channel conda-forge",
            )
        request = {
            "action": "solve",
            "channels": list(spec.channels),
            "specs": list(spec.specs),
            "subdir": subdir,
            "virtual_packages": [list(package) for package in virtual_packages],
            "strict_priority": strict_priority,
            "repodata_cache": str(self.repodata_cache),
        }
        return _to_lock(_call(request, where=spec.source), subdir)

    def resolve_explicit(
        self, entries: Sequence[ExplicitEntry], subdir: str, *, source: str
    ) -> Lock:
        """Make a lock of an ``@EXPLICIT`` list; its digests bind the install."""
        request = {
            "action": "resolve_explicit",
            "entries": [vars(entry) for entry in entries],
            "subdir": subdir,
            "repodata_cache": str(self.repodata_cache),
        }
        return _to_lock(_call(request, where=source), subdir)

    def read_lock(self, path: Path, subdir: str, *, environment: str = "default") -> Lock:
        """Read a rattler lock file (pixi.lock); InputError when it has no such platform."""
        request = {
            "action": "read_lock",
            "lock": str(path),
            "environment": environment,
            "subdir": subdir,
        }
        return _to_lock(_call(request, where=str(path)), subdir)

    def install(self, lock: Lock, prefix: Path, *, progress: Progress = SILENT) -> None:
        """Install a lock into an empty prefix and check that exactly it is there.

        Link scripts are not run. Raises InstallError.
        """
        with tempfile.TemporaryDirectory(prefix="slimpack-lock-") as folder:
            path = Path(folder, "pixi.lock")
            path.write_text(lock.text, encoding="utf-8")
            request = {
                "action": "install",
                "lock": str(path),
                "subdir": lock.platform,
                "prefix": str(prefix),
                "package_cache": str(self.package_cache),
            }
            with progress.task("install", total=len(lock.packages), unit="package") as task:

                def on_event(event: dict[str, Any]) -> None:
                    if event["event"] == "linked":
                        task.advance()

                _call(request, where=str(prefix), on_event=on_event)
        check_installed(lock, prefix)


def check_installed(lock: Lock, prefix: Path) -> None:
    """Raise InstallError unless conda-meta holds exactly the locked packages."""
    installed = {path.stem for path in Path(prefix, "conda-meta").glob("*.json")}
    locked = {package.dist for package in lock.packages}
    if installed != locked:
        missing = ", ".join(sorted(locked - installed)) or "none"
        extra = ", ".join(sorted(installed - locked)) or "none"
        raise InstallError(
            f"{prefix}: not the locked environment (missing: {missing}; not locked: {extra})"
        )


def _to_lock(result: dict[str, Any], subdir: str) -> Lock:
    packages = tuple(
        LockedPackage(**{**package, "depends": tuple(package["depends"])})
        for package in result["packages"]
    )
    return Lock(platform=subdir, packages=packages, text=result["lock"])


def _ignore(event: dict[str, Any]) -> None:
    """Take no notice of an event."""


def _call(
    request: dict[str, Any], *, where: str, on_event: Callable[[dict[str, Any]], None] = _ignore
) -> dict[str, Any]:
    """Run one request in a worker process and return its result."""
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
