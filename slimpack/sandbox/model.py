"""What is run, in what surroundings, and what came of it."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slimpack.errors import InputError
from slimpack.oci.image import Image
from slimpack.sandbox.gpu import Gpu

Pairs = tuple[tuple[str, str], ...]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Command:
    """What runs.

    argv: program, looked for on the PATH of `env` unless it has a slash, and arguments;
        whoever may list the processes of this machine can read them.
    env: all variables, in no place where others could read them. Where PATH or HOME is
        missing it is set as container engines do.
    user: as in an image's config: "" for root, ``uid``, ``uid:gid``, or names, which
        are those of the root file system's etc/passwd and etc/group.
    workdir: absolute; made where it is missing. "" is the root.
    timeout: seconds, from before the sandbox is made.
    max_output: bytes kept of stdout and of stderr, from their ends.
    Raises InputError for what no process can be given.
    """

    argv: tuple[str, ...]
    env: Pairs = ()
    user: str = ""
    workdir: str = ""
    stdin: bytes = b""
    timeout: float = 60.0
    max_output: int = 1 << 20

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise InputError("there is no command to run", hint="name a program")
        for name, value in self.env:
            if not name or "=" in name or "\0" in name + value:
                raise InputError(f"{name[:200]!r} cannot be a variable of the environment")
        if any("\0" in text for text in (*self.argv, self.user, self.workdir)):
            raise InputError(f"the command {self.argv[0][:200]!r} has a NUL in it")
        if self.workdir and not self.workdir.startswith("/"):
            raise InputError(f"the working directory {self.workdir!r} is not absolute")


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine, shown at the absolute path `inside`."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class Options:
    """Exceptions from the rule that a command sees nothing of this machine.

    network: give it this machine's network, with its resolv.conf.
    wrapper: command line that is put in front of the one which makes the sandbox, on this
        machine and with the rights of the caller (``strace -f -o FILE --``).
        bubblewrap, unshare and host only.
    gpu: show this machine's GPU, its driver and what /sys tells of devices; for one command
        at a time.
    """

    binds: tuple[Bind, ...] = ()
    network: bool = False
    wrapper: tuple[str, ...] = ()
    gpu: Gpu | None = None


@dataclass(frozen=True)
class Finished:
    """How it ended.

    returncode: exit code, 128 + number for a signal; 127 for a program that is not
        there, 126 for one that cannot be run.
    stdout, stderr: at most `Command.max_output` bytes each, their ends.
    timed_out: it was killed, because time was over or it did not end when asked to.
    seconds: wall-clock time, the making of the sandbox included.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    seconds: float


PLAIN = Options()


class Prepared(Protocol):
    """A root file system in which commands can be run, one after the other or at once."""

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        """Run `command` to its end.

        stop: when set, from another thread, the command gets a SIGTERM and ten seconds.
        Whatever happens, Ctrl-C included, no process, mount or container is left. If this
        process is killed with SIGKILL, `bubblewrap` and `unshare` leave nothing either.
        Raises DaemonError when the sandbox cannot be made, InputError for what the
        sandbox cannot do, ImageError for a root file system that is malformed.
        """


class Sandbox(Protocol):
    """One way to run commands in a root file system."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    def prepare(self, root: Path, image: Image | None = None) -> AbstractContextManager[Prepared]:
        """Get `root`, an unpacked image, ready.

        root: a folder of the caller's own; mount points that it lacks are made in it.
        image: what was unpacked there; docker needs it.
        """
