"""The memory of a running container, seen from the host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.running import RunError

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


def proportional(pid: int) -> int:
    """Return the bytes that a process and all its children have; shared pages count in shares."""
    parents = _parents()
    if pid not in parents:
        raise RunError(f"process {pid} of a container has ended")
    return sum(pss(_text(_PROC / str(each) / "smaps_rollup")) for each in family(pid, parents))


def charged(pid: int) -> int | None:
    """Return the bytes charged to a process's cgroup, the files that it was first to read, too.

    None where the kernel does not account for memory by cgroup.
    """
    place = usage_file(_text(_PROC / str(pid) / "cgroup"))
    text = _text(_CGROUPS / place) if place else ""
    return int(text) if text.strip() else None


def pss(smaps_rollup: str) -> int:
    """Return the bytes of a ``smaps_rollup``; 0 for a process without memory, which is ending."""
    found = _PSS.search(smaps_rollup)
    return int(found[1]) * 1024 if found else 0


def family(pid: int, parents: Mapping[int, int]) -> set[int]:
    """Return a process with its children and theirs. parents: process -> its parent."""
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def usage_file(cgroup: str) -> str:
    """Return where a ``/proc/PID/cgroup`` has its memory told, below the cgroups' folder.

    "" where there is no such cgroup but the root, which counts nothing (cgroups(7)).
    """
    version2 = ""
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and path != "/":
            return f"memory{path}/memory.usage_in_bytes"
        if not controllers and path != "/":
            version2 = f"{path[1:]}/memory.current"
    return version2


def _parents() -> dict[int, int]:
    """Return process -> its parent: the second field after the name in ``/proc/PID/stat``."""
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        fields = _text(folder / "stat").rpartition(")")[2].split()
        if fields:
            found[int(folder.name)] = int(fields[1])
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # it has ended, or there is no such accounting
        return ""
