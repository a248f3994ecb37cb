"""What namespaces of our own need of a root file system, and of this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import ImageError, InputError
from slimpack.sandbox import gpu, inside
from slimpack.sandbox.model import DEFAULT_PATH, Bind, Command, Options, Pairs
from slimpack.sandbox.users import User

MOUNT_POINTS = ("proc", "dev", "sys", "tmp")
# How many processors there are, which numeric libraries read, and nothing else.
_TOPOLOGY = ("devices/system/cpu", "devices/system/node")
# What drivers of devices show there; the mounts below /sys (cgroups) stay outside.
_SYS_OF_GPU = ("bus", "class", "dev", "devices", "module")
HOSTS = b"127.0.0.1\tlocalhost sandbox\n::1\tlocalhost\n"
_RESOLV = Path("/etc/resolv.conf")


@dataclass(frozen=True)
class Shown:
    """A bind whose place in the root was looked up: `inside` is relative and has no links."""

    host: str
    inside: str
    writable: bool


def make_mount_points(root: Path) -> None:
    """See to it that what is mounted in every sandbox has its place; ImageError for links."""
    for name in MOUNT_POINTS:
        if inside.ensure(root, name, "folder") != name:
            raise ImageError(f"/{name} of the image is a link, and has to be a folder")


def workdir(root: Path, command: Command) -> str:
    """Return the working directory, made if it is missing, as container engines do."""
    return f"/{inside.ensure(root, command.workdir, 'folder')}" if command.workdir else "/"


def environment(command: Command, user: User) -> Pairs:
    """Return the variables of the command, with PATH and HOME as engines set them."""
    return tuple({"PATH": DEFAULT_PATH, "HOME": user.home, **dict(command.env)}.items())


def parts_of_sys(options: Options) -> tuple[str, ...]:
    """Return the folders of /sys that a command sees, read-only."""
    return _SYS_OF_GPU if options.gpu else _TOPOLOGY


@contextmanager
def shown(root: Path, options: Options) -> Iterator[list[Shown]]:
    """Give the binds of a command and those of every sandbox, each with its mount point."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slimpack-"))
        driver = stack.enter_context(gpu.bound(root, options.gpu)) if options.gpu else []
        Path(folder).chmod(0o755)  # the command may be another user
        hosts = Path(folder) / "hosts"
        hosts.write_bytes(HOSTS)
        hosts.chmod(0o644)
        binds = [Bind(hosts, "/etc/hosts")]
        if options.network:
            binds = [
                Bind(place, str(place)) for place in (Path("/etc/hosts"), _RESOLV) if place.exists()
            ]
        binds += [Bind(Path(host), f"/{path}") for host, path in driver]
        yield [_shown(root, bind) for bind in (*binds, *options.binds)]


def _shown(root: Path, bind: Bind) -> Shown:
    check_bind(bind)
    host = os.path.realpath(bind.host)
    place = inside.ensure(root, bind.inside, "folder" if bind.host.is_dir() else "file")
    if not place:
        raise InputError(f"{bind.host} cannot be shown in the place of the root")
    return Shown(host, place, bind.writable)


def check_bind(bind: Bind) -> None:
    """Raise InputError for a bind that cannot be."""
    if not bind.host.exists():
        raise InputError(f"there is no {bind.host} to show in the sandbox")
    if not bind.inside.startswith("/") or "\0" in bind.inside:
        raise InputError(f"{bind.inside[:200]!r} is no absolute path to show {bind.host} at")
