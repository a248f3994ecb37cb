"""No sandbox: a command where its files lie, for portable archives and their prefixes.

It sees this machine and its network. It is given no variable of ours, and ends in time
with all processes of its session; one that makes a session of its own gets away.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import DaemonError, InputError
from slimpack.oci.image import Image
from slimpack.sandbox.model import DEFAULT_PATH, PLAIN, Command, Finished, Options, Prepared
from slimpack.sandbox.process import supervise


@dataclass(frozen=True)
class Host:
    """See the head of this module."""

    name: str = "host"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """Give the host; root: the working directory of commands that name none."""
        yield _Prepared(root.resolve())


@dataclass(frozen=True)
class _Prepared:
    root: Path

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        if options.binds or command.user:
            raise InputError("on the host, nothing is bound and no user is taken on")
        where = Path(command.workdir) if command.workdir else self.root
        if not where.is_dir():
            raise InputError(f"the working directory {where} is not there")
        env = {"PATH": DEFAULT_PATH, **dict(command.env)}
        # A wrapper is the caller's program, not one of the prefix.
        wrapper = [shutil.which(text) or text for text in options.wrapper[:1]]
        argv = [*wrapper, *options.wrapper[1:], *command.argv]
        try:
            return supervise(argv, command, env=env, cwd=where, stop=stop)
        except DaemonError as error:
            why = error.__cause__
            if not isinstance(why, OSError):
                raise
            code = 127 if isinstance(why, (FileNotFoundError, NotADirectoryError)) else 126
            return Finished(code, b"", f"{error.message}\n".encode("utf-8", "replace"), False, 0.0)
