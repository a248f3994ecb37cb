"""Programs of another processor in any sandbox, run by QEMU's user mode emulation.

The kernel may do that by itself (binfmt_misc), and then nothing here is needed. Otherwise
the emulator is shown in the sandbox and started with the program as its argument. What the
kernel does when it starts a program is done here before: looking on PATH, and following
first lines (``#!``) to their interpreter. Programs that the command starts in its turn are
not emulated: for those, Linux needs to know the emulator.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.elf.read import ElfError, read_elf
from slimpack.errors import ImageError
from slimpack.oci.image import Image
from slimpack.sandbox import inside
from slimpack.sandbox.model import (
    DEFAULT_PATH,
    PLAIN,
    Bind,
    Command,
    Finished,
    Options,
    Prepared,
    Sandbox,
)

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
PLACE = "/.slimpack-emulator"
SLOWER = 10.0  # what emulation costs a program that computes, at most
_HEAD = 4096
_MAX_SCRIPTS = 4  # interpreters that are scripts themselves; Linux follows no more (execve(2))


def find_emulator(platform: str) -> Path | None:
    """Return the emulator of this machine for programs of `platform`, None without one.

    It is started where nothing of this machine is but its file: only a static one can.
    """
    machine = MACHINES.get(platform, "")
    for name in (f"qemu-{machine}-static", f"qemu-{machine}"):
        program = shutil.which(name)
        if program and _is_static(Path(program)):
            return Path(program).resolve()
    return None


def _is_static(program: Path) -> bool:
    try:
        with program.open("rb") as stream:
            elf = read_elf(stream, program.stat().st_size, str(program))
    except (OSError, ElfError):
        return False
    return elf is not None and not elf.interpreter and not elf.needed


@dataclass(frozen=True)
class Emulated:
    """`inner`, with every command run by `emulator`, a static program of this machine.

    Commands have `SLOWER` times the time that they are given.
    """

    inner: Sandbox
    emulator: Path

    @property
    def name(self) -> str:
        """The sandbox and its emulator."""
        return f"{self.inner.name} with {self.emulator.name}"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """As `Sandbox.prepare` says."""
        with self.inner.prepare(root, image) as prepared:
            yield _Prepared(prepared, root.resolve(), self.emulator)


@dataclass(frozen=True)
class _Prepared:
    inner: Prepared
    root: Path
    emulator: Path

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        try:
            argv = _View(self.root, options.binds).started(command)
        except OSError as error:
            code = 127 if isinstance(error, (FileNotFoundError, NotADirectoryError)) else 126
            text = f"cannot run {command.argv[0]}: {error.strerror or error}\n"
            return Finished(code, b"", text.encode("utf-8", "replace"), False, 0.0)
        return self.inner.run(
            # Its own name comes first (-0): Python finds out by it where it lies.
            replace(command, argv=(PLACE, "-0", argv[0], *argv), timeout=command.timeout * SLOWER),
            replace(options, binds=(*options.binds, Bind(self.emulator, PLACE))),
            stop=stop,
        )


@dataclass(frozen=True)
class _View:
    """The files that a command sees, looked at from outside: the root, and what is bound."""

    root: Path
    binds: tuple[Bind, ...]

    def started(self, command: Command) -> tuple[str, ...]:
        """Return the command line with the path of an ELF file first, as execve(2) comes to it.

        Raises OSError for what cannot be started.
        """
        argv = (self._found(command), *command.argv[1:])
        for _ in range(_MAX_SCRIPTS + 1):
            head = self._head(argv[0])
            if not head.startswith(b"#!"):
                return argv
            line = head[2:].partition(b"\n")[0].decode("utf-8", "surrogateescape").strip(" \t\r")
            interpreter, _, argument = line.replace("\t", " ").partition(" ")
            given = (argument.strip(),) if argument.strip() else ()
            argv = (_absolute(interpreter, command), *given, *argv)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), argv[0])

    def _found(self, command: Command) -> str:
        name = command.argv[0]
        if "/" in name:
            return _absolute(name, command)
        for folder in dict(command.env).get("PATH", DEFAULT_PATH).split(":"):
            path = _absolute(f"{folder or '.'}/{name}", command)
            place = self._place(path)
            if place.is_file() and place.stat().st_mode & 0o111:
                return path
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _head(self, path: str) -> bytes:
        place = self._place(path)
        status = place.stat()
        # A FIFO would block. Nobody else is in the caller's own folder.
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        with place.open("rb") as stream:
            return stream.read(_HEAD)

    def _place(self, path: str) -> Path:
        """Return the file of this machine, without links."""
        for bind in self.binds:
            if path == bind.inside or path.startswith(f"{bind.inside}/"):
                rest = path.removeprefix(bind.inside)
                return bind.host / inside.resolve(bind.host, rest) if rest else bind.host
        try:
            return self.root / inside.resolve(self.root, path)
        except ImageError as error:
            raise OSError(errno.ELOOP, error.message, path) from error


def _absolute(path: str, command: Command) -> str:
    return path if path.startswith("/") else f"{command.workdir}/{path}"
