"""Sandboxes made with unshare(1) of util-linux and a helper of our own.

Root takes on the image's user by its number. Anybody else becomes that user in a user
namespace, where all files that were unpacked belong to it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slimpack.errors import DaemonError
from slimpack.oci.image import Image
from slimpack.sandbox import surroundings
from slimpack.sandbox.model import PLAIN, Command, Finished, Options, Prepared
from slimpack.sandbox.process import Control, supervise
from slimpack.sandbox.surroundings import Shown
from slimpack.sandbox.users import User, find_user

WORKER = Path(__file__).with_name("worker.py")
_SPACES = ("--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup")
_STATUS = 4096


@dataclass(frozen=True)
class Unshare:
    """See the head of this module."""

    program: str = "unshare"
    name: str = "unshare"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """As `Sandbox.prepare` says; the image is not needed."""
        root = root.resolve()
        surroundings.make_mount_points(root)
        yield _Prepared(self, root)


@dataclass(frozen=True)
class _Prepared:
    sandbox: Unshare
    root: Path

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        user = find_user(self.root, command.user)
        with ExitStack() as stack:
            binds = stack.enter_context(surroundings.shown(self.root, options))
            request = stack.enter_context(self._request(command, options, user, binds))
            pipes = _Pipes(stack)
            theirs = (request.fileno(), *pipes.theirs)
            worker = [sys.executable, "-I", "-S", str(WORKER), *map(str, theirs)]
            finished = supervise(
                [*options.wrapper, self.sandbox.program, *_spaces(options, user), "--", *worker],
                command,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                control=Control(pipes.ask, pipes.close_control),
                pass_fds=theirs,
                stop=stop,
                started=pipes.started,
            )
            pipes.check(finished)
        return finished

    @contextmanager
    def _request(
        self, command: Command, options: Options, user: User, binds: list[Shown]
    ) -> Iterator[IO[bytes]]:
        """Give a file without a name that tells the worker what to do."""
        request = {
            "root": str(self.root),
            "binds": [(bind.host, bind.inside, bind.writable) for bind in binds],
            "network": options.network,
            "devices": options.gpu.devices if options.gpu else (),
            "sys": surroundings.parts_of_sys(options),
            "switch": os.geteuid() == 0,
            "uid": user.uid,
            "gid": user.gid,
            "groups": user.groups,
            "argv": command.argv,
            "env": surroundings.environment(command, user),
            "workdir": surroundings.workdir(self.root, command),
        }
        with tempfile.TemporaryFile() as stream:
            stream.write(json.dumps(request).encode())
            stream.seek(0)
            yield stream


def _spaces(options: Options, user: User) -> list[str]:
    spaces = [*_SPACES, *(() if options.network else ("--net",))]
    if os.geteuid():
        ids = (f"--map-user={user.uid}", f"--map-group={user.gid}")
        spaces += ["--user", *ids, "--keep-caps"]
    return spaces


class _Pipes:
    """The two pipes to the worker. theirs: its ends, for control and for status."""

    def __init__(self, stack: ExitStack) -> None:
        control, self._control = os.pipe()
        self._status, status = os.pipe()
        self.theirs = (control, status)
        self._open = {control, status, self._control, self._status}
        stack.callback(self._close_all)

    def started(self) -> None:
        for number in self.theirs:
            self._close(number)

    def ask(self) -> None:
        with suppress(OSError):
            os.write(self._control, b"T")

    def close_control(self) -> None:
        self._close(self._control)

    def check(self, finished: Finished) -> None:
        """Raise DaemonError unless the command was started, or there was no time for it."""
        os.set_blocking(self._status, False)
        try:
            told = os.read(self._status, _STATUS)
        except BlockingIOError:
            told = b""
        if told != b"started" and not finished.timed_out:
            why = told.decode(errors="replace") or _last_line(finished.stderr)
            raise DaemonError(
                f"unshare could not make the sandbox: {why}",
                hint="install bubblewrap, podman or Docker, or run as root",
            )

    def _close(self, number: int) -> None:
        if number in self._open:
            self._open.remove(number)
            os.close(number)

    def _close_all(self) -> None:
        for number in sorted(self._open):
            self._close(number)


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it ended without a word"
