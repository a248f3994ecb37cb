"""From strace's output to the paths that a workload touched, as it named them.

Everything that the launcher does before the workload's program runs is left out:
a process counts from its first execve after it, or one that it descends from, has
entered the image with pivot_root or chroot. Relative names are joined to the folder
that they are relative to: strace tells it of descriptors and of AT_FDCWD (``-y``);
for the older calls it is followed from chdir to chdir and from parent to child.
``..`` and links are left for `slimpack.trace.walk`, which knows the image.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from slimpack.errors import InputError
from slimpack.trace.strace_lines import Call, Exit, Skipped, read_calls, take_fd, take_string

TRACED = "%file,chdir,fchdir,chroot,pivot_root,getdents,getdents64,clone,clone3,fork,vfork"
"""What strace is told to trace (``-e trace=``)."""

MAX_PATHS = 1_000_000
MAX_PROCESSES = 1_000_000

_OPENS = frozenset({"open", "openat", "openat2", "creat", "execve", "execveat"})
# Calls of %file whose first argument is not the path: the descriptor comes first.
_AT = frozenset(
    {
        *("openat", "openat2", "execveat", "newfstatat", "fstatat64", "statx", "faccessat"),
        *("faccessat2", "readlinkat", "fchmodat", "fchmodat2", "fchownat", "utimensat"),
        *("name_to_handle_at", "linkat", "renameat", "renameat2", "inotify_add_watch"),
        *("open_tree", "unlinkat"),
    }
)
_PLAIN = frozenset(
    {
        *("open", "creat", "execve", "stat", "lstat", "stat64", "lstat64", "access", "readlink"),
        *("statfs", "statfs64", "getxattr", "lgetxattr", "listxattr", "llistxattr", "chmod"),
        *("chown", "lchown", "truncate", "link", "rename", "unlink", "utime", "utimes", "uselib"),
    }
)
_FORKS = frozenset({"clone", "clone3", "fork", "vfork"})
_ABSENT = frozenset({"ENOENT", "ENOTDIR", "ENAMETOOLONG", "EFAULT", "EBADF", "ENOSYS"})


@dataclass(frozen=True)
class Touched:
    """Absolute paths as the workload named them, links and ``..`` not resolved.

    opened: opened or executed. statted: asked for and there. listed: directories read.
    lost: names that are relative to a folder nobody knows.
    skipped: lines that were not understood.
    entered: whether a program ran inside the image at all.
    """

    opened: frozenset[str]
    statted: frozenset[str]
    listed: frozenset[str]
    lost: int
    skipped: int
    entered: bool


@dataclass
class _Folder:
    """Where a process stands; threads share one. entered: it sees the image as its root."""

    cwd: str = ""
    entered: bool = False


@dataclass
class _Process:
    folder: _Folder
    counts: bool = False


@dataclass
class _Collected:
    opened: set[str] = field(default_factory=set)
    statted: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    lost: int = 0
    entered: bool = False


def parse(lines: Iterable[bytes], *, entered: bool = False) -> Touched:
    """Return what strace's output (options ``-f -y``, calls `TRACED`) says of the workload.

    lines: of the file that ``-o`` names, in its order. entered: the traced command runs in
    the image from its start; else it is a launcher that enters it. Raises InputError when
    there are more paths or processes than a workload can have.
    """
    skipped = Skipped()
    reader = _Reader(entered)
    for event in read_calls(lines, skipped):
        reader.take(event)
    found = reader.found
    return Touched(
        frozenset(found.opened),
        frozenset(found.statted - found.opened),
        frozenset(found.listed),
        found.lost + sum(map(len, reader.waiting.values())),
        skipped.lines,
        found.entered,
    )


class _Reader:
    """Follows the processes; `waiting` holds events of those whose parent is not known yet."""

    def __init__(self, entered: bool) -> None:
        self.found = _Collected()
        self.waiting: dict[int, list[Call | Exit]] = {}
        self._entered = entered
        self._processes: dict[int, _Process] = {}

    def take(self, event: Call | Exit) -> None:
        """Take the next event; a child's may come before its parent's fork has returned."""
        events = deque([event])
        while events:
            events.extendleft(reversed(self._one(events.popleft())))

    def _one(self, event: Call | Exit) -> list[Call | Exit]:
        """Take one event; return those that waited for it."""
        if not self._processes:
            self._processes[event.pid] = _Process(_Folder(entered=self._entered))
        process = self._processes.get(event.pid)
        if process is None:
            self.waiting.setdefault(event.pid, []).append(event)
            return []
        if isinstance(event, Exit):
            del self._processes[event.pid]
            if not self._processes:  # the first one's number must not start another workload
                self._processes[-1] = process
        elif event.name in _FORKS:
            return self._fork(event, process)
        else:
            self._call(event, process)
        return []

    def _fork(self, call: Call, parent: _Process) -> list[Call | Exit]:
        if call.value is None or call.value <= 0:
            return []
        if len(self._processes) + len(self.waiting) > MAX_PROCESSES:
            raise InputError(f"the workload has more than {MAX_PROCESSES} processes")
        shared = "CLONE_FS" in call.args
        folder = parent.folder if shared else _Folder(parent.folder.cwd, parent.folder.entered)
        self._processes[call.value] = _Process(folder, parent.counts)
        return self.waiting.pop(call.value, [])

    def _call(self, call: Call, process: _Process) -> None:
        if call.name in ("chdir", "fchdir", "chroot", "pivot_root"):
            self._move(call, process)
        elif call.name in ("getdents", "getdents64"):
            described = take_fd(call.args)
            if process.counts and described and described[0].path and call.value is not None:
                self._add(self.found.listed, described[0].path)
        else:
            self._touch(call, process)

    def _move(self, call: Call, process: _Process) -> None:
        folder = process.folder
        if call.error:
            return
        if call.name == "fchdir":
            described = take_fd(call.args)
            folder.cwd = described[0].path if described else ""
        elif call.name == "chdir":
            path = _joined(folder.cwd, take_string(call.args) or "")
            if process.counts and path:
                self._add(self.found.statted, path)
            folder.cwd = path
        elif process.counts:
            # The workload itself enters a root of its own: what is seen there is not ours.
            process.counts = False
            folder.entered = False
        else:
            folder.entered = True
            folder.cwd = ""

    def _touch(self, call: Call, process: _Process) -> None:
        if call.error in _ABSENT:
            return
        runs = call.name in ("execve", "execveat") and not call.error
        if runs and process.folder.entered and not process.counts:
            process.counts = self.found.entered = True
        path = self._named(call, process)
        if path is None or not process.counts:
            return
        if not path:
            self.found.lost += 1
        elif call.name in _OPENS and call.error in ("", "ENOEXEC"):
            self._add(self.found.opened, path)
        else:
            self._add(self.found.statted, path)

    @staticmethod
    def _named(call: Call, process: _Process) -> str | None:
        """Return the absolute path of a call, "" when it cannot be told, None for none."""
        folder = process.folder
        if call.name in _PLAIN:
            name = take_string(call.args)
            return None if not name else _joined(folder.cwd, name)
        if call.name not in _AT:
            return None
        described = take_fd(call.args)
        if described is None:
            return None
        base, rest = described
        if base.cwd and base.path:
            folder.cwd = base.path
        name = take_string(rest)
        if name is None:
            return None
        above = folder.cwd if base.cwd else base.path
        return _joined(above, name) if name else above or None

    def _add(self, paths: set[str], path: str) -> None:
        paths.add(path)
        if len(paths) > MAX_PATHS:
            raise InputError(
                f"the workload touched more than {MAX_PATHS} paths",
                hint="trace a smaller part of it",
            )


def _joined(folder: str, name: str) -> str:
    """Return `name` below `folder` unless it is absolute; "" when neither is known."""
    if name.startswith("/"):
        return name
    return f"{folder.rstrip('/')}/{name}" if folder and name else ""
