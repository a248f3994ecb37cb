"""Sandboxes made with bwrap (bubblewrap 0.5 and later).

bwrap can show one user only. Root starts it as the image's user, which has to be able to
reach the unpacked folder then; anybody else becomes that user in a user namespace,
where all files that were unpacked belong to it.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.errors import DaemonError
from slimpack.oci.image import Image
from slimpack.sandbox import surroundings
from slimpack.sandbox.model import PLAIN, Command, Finished, Options, Prepared
from slimpack.sandbox.process import Control, supervise
from slimpack.sandbox.surroundings import Shown
from slimpack.sandbox.users import User, find_user

_SPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_SHARED_MEMORY, _TEMPORARY = "/dev/shm", "/tmp"  # noqa: S108 (the sandbox's own)
# Root may write to these whatever its capabilities are. They are the same in every /proc.
_PROC_READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))
_NO_EXEC = b"bwrap: execvp "
_STATUS = 1 << 16


@dataclass(frozen=True)
class Bubblewrap:
    """See the head of this module."""

    program: str = "bwrap"
    name: str = "bubblewrap"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """As `Sandbox.prepare` says; the image is not needed."""
        root = root.resolve()
        surroundings.make_mount_points(root)
        yield _Prepared(self, root)


@dataclass(frozen=True)
class _Prepared:
    sandbox: Bubblewrap
    root: Path

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        user = find_user(self.root, command.user)
        with ExitStack() as stack:
            binds = stack.enter_context(surroundings.shown(self.root, options))
            status = _Status(stack)
            # Variables may be secrets, and arguments can be read by all.
            arguments = stack.enter_context(tempfile.TemporaryFile())
            told = self._arguments(command, options, user, binds, status.theirs)
            arguments.write(b"".join(os.fsencode(text) + b"\0" for text in told))
            arguments.seek(0)
            bwrap = [self.sandbox.program, "--args", str(arguments.fileno()), "--", *command.argv]
            finished = supervise(
                [*options.wrapper, *_as_user(user), *bwrap],
                command,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                control=Control(status.ask),
                pass_fds=(arguments.fileno(), status.theirs),
                stop=stop,
                started=status.started,
            )
            return status.checked(finished)

    def _arguments(
        self, command: Command, options: Options, user: User, binds: list[Shown], status: int
    ) -> list[str]:
        arguments = [*_SPACES, "--die-with-parent", "--json-status-fd", str(status)]
        arguments += ["--hostname", "sandbox", "--cap-drop", "ALL"]
        if not options.network:
            arguments += ["--unshare-net"]
        if os.geteuid() or user.uid:
            arguments += ["--unshare-user", "--uid", str(user.uid), "--gid", str(user.gid)]
        arguments += ["--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"]
        for path in _PROC_READ_ONLY:
            arguments += ["--ro-bind-try", path, path]
        for path in (_SHARED_MEMORY, _TEMPORARY):
            arguments += ["--perms", "1777", "--tmpfs", path]
        for host, name in options.gpu.devices if options.gpu else ():
            arguments += ["--dev-bind", host, f"/dev/{name}"]
        arguments += ["--remount-ro", "/dev", "--perms", "0755", "--tmpfs", "/sys"]
        for path in surroundings.parts_of_sys(options):
            arguments += ["--ro-bind-try", f"/sys/{path}", f"/sys/{path}"]
        arguments += ["--remount-ro", "/sys"]
        for bind in binds:
            arguments += ["--bind" if bind.writable else "--ro-bind", bind.host, f"/{bind.inside}"]
        arguments += ["--chdir", surroundings.workdir(self.root, command), "--clearenv"]
        for name, value in surroundings.environment(command, user):
            arguments += ["--setenv", name, value]
        return arguments


def _as_user(user: User) -> list[str]:
    """Return what makes root the user; only setpriv(1) can do that below a wrapper."""
    if os.geteuid():
        return []
    groups = ",".join(map(str, user.groups))
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}"]
    return ["setpriv", *ids, f"--groups={groups}" if groups else "--clear-groups", "--"]


class _Status:
    """What bwrap tells: JSON documents, one a line (bwrap(1), ``--json-status-fd``)."""

    def __init__(self, stack: ExitStack) -> None:
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        self._told = b""
        self._theirs_open = True
        stack.callback(os.close, self._ours)
        stack.callback(self.started)

    def started(self) -> None:
        if self._theirs_open:
            self._theirs_open = False
            os.close(self.theirs)

    def ask(self) -> None:
        """Send SIGTERM to the children of the sandbox's first process, which waits for them."""
        first = self._find("child-pid")
        for child in _children(first) if first else ():
            with suppress(OSError):
                os.kill(child, signal.SIGTERM)

    def checked(self, finished: Finished) -> Finished:
        """Return the outcome of the command; raise DaemonError when there was none."""
        if finished.timed_out:
            return finished
        if finished.returncode == 1 and finished.stderr.startswith(_NO_EXEC):
            missing = b"No such file" in finished.stderr or b"Not a directory" in finished.stderr
            return replace(finished, returncode=127 if missing else 126)
        if self._find("exit-code") is None:
            lines = finished.stderr.decode(errors="replace").strip().splitlines()
            why = lines[-1][:500] if lines else "it ended without a word"
            raise DaemonError(f"bubblewrap could not make the sandbox: {why}", hint=_hint(why))
        return finished

    def _find(self, key: str) -> int | None:
        with suppress(BlockingIOError):
            while (data := os.read(self._ours, _STATUS)) and len(self._told) < _STATUS:
                self._told += data
        for line in self._told.splitlines():
            with suppress(ValueError):
                value = json.loads(line).get(key)
                if isinstance(value, int):
                    return value
        return None


def _hint(why: str) -> str:
    if "Permission denied" in why and os.geteuid() == 0:
        return (
            "the image's user cannot reach the folder; use the sandbox unshare, or another folder"
        )
    return "use another sandbox: unshare, podman or docker"


def _children(parent: int) -> list[int]:
    """Return the processes whose parent is `parent`, see proc(5)."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                fields = (place / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(place.name))
    return found
