"""A scratch folder in memory, for files that are made, read once and removed.

Making a file on a disk finds it a place there: on ext4 without a journal, as virtual machines
of CI have it, close to a millisecond for each after many were removed. ``/dev/shm`` is what the
Filesystem Hierarchy Standard's Linux annex and shm_overview(7) say it is, a tmpfs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slimpack.cache.folders import Cache

PLACE = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)
_SHARE = 8
"""What is taken is at most this part of what is free: others want memory, too."""
_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (  # of cgroup v2 and v1 (kernel's admin guide): the limit, and what is used of it
    ("", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


@contextmanager
def memory_scratch(size: int, files: int, place: Path = PLACE) -> Iterator[Path | None]:
    """Give a new private folder in memory, gone afterwards; None where there is no room.

    size, files: how many bytes and files it is for. place: a tmpfs where programs may run. What
    killed builds left there goes, as in `Cache.scratch`.
    """
    own = place / f"slimpack-{os.geteuid()}"
    if not _is_fit(place, size * _SHARE, files * _SHARE) or not _is_ours(own):
        yield None
        return
    with Cache(own).scratch() as scratch:
        yield scratch


def _is_fit(place: Path, size: int, files: int) -> bool:
    """Tell whether a place is a tmpfs with that much room, and memory for it."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
        if [line.split()[2] for line in mounts if line.split()[1] == str(place)][-1:] != ["tmpfs"]:
            return False
        there = os.statvfs(place)
        room = there.f_bavail * there.f_frsize >= size and there.f_favail >= files
        runs = not there.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
        return room and runs and free_memory() >= size
    except (OSError, ValueError, IndexError):
        return False


def free_memory() -> int:
    """Return how many bytes this process may still use, caches of files counted as used.

    What the machine has, or what is left of its control groups' limits. Raises OSError or
    ValueError where the kernel does not tell.
    """
    lines = Path("/proc/meminfo").read_text("ascii", "replace").splitlines()
    machine = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return min(*machine, *_left_of_groups())


def _left_of_groups() -> Iterator[int]:
    paths = _own_groups()
    for controller, limit, used in _LIMITS:
        path = Path(paths.get(controller, "/").lstrip("/"))
        for group in (path, *path.parents):  # of all above, the tightest counts
            folder = _CGROUPS / controller / group
            with suppress(OSError, ValueError):  # the topmost has none, or it is "max"
                yield int((folder / limit).read_text()) - int((folder / used).read_text())
    yield 1 << 62


def _own_groups() -> dict[str, str]:
    """Return controllers ("" for those of cgroup v2) -> path of this process's group."""
    lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


def _is_ours(folder: Path) -> bool:
    """Make a folder where anybody may make one; False where somebody else did before."""
    with suppress(FileExistsError, OSError):
        folder.mkdir(mode=0o700)
    try:
        there = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(there.st_mode) and not stat.S_IMODE(there.st_mode) & 0o077
    return private and there.st_uid == os.geteuid()
