"""The Docker engine as builds see it: its processor time and memory, and what they leave in it.

BuildKit runs inside of ``dockerd``, and what a RUN starts are descendants that it waits for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.building.recipe import LABEL
from benchmarks.running import docker

_FORGET = "5"  # the peak of resident memory becomes what it is now (proc(5), clear_refs)


def cpu_of_engine() -> float:
    """Return the CPU seconds of the engine and of what it ran; 0.0 where it is not here.

    Fields 14 to 17 of ``/proc/PID/stat`` (proc(5)): its own and those of ended children.
    """
    total = 0
    for process in _engines():
        fields = _text(process / "stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def forget_peak() -> None:
    """Let `peak_of_engine` begin anew, where this process may ask for it."""
    for process in _engines():
        with suppress(OSError):
            (process / "clear_refs").write_text(_FORGET, encoding="utf-8")


def peak_of_engine() -> int:
    """Return the most bytes of memory that the engine's process has had; 0 where it is not here."""
    found = [re.search(r"VmHWM:\s+(\d+) kB", _text(path / "status")) for path in _engines()]
    return max((int(match[1]) * 1024 for match in found if match), default=0)


def remove_image(reference: str) -> None:
    """Remove an image, and what builds of this benchmark left of earlier ones."""
    docker("rmi", "--force", reference, check=False)
    docker("image", "prune", "--force", "--filter", f"label={LABEL}", check=False)


@contextmanager
def tidy(*images: str) -> Iterator[None]:
    """Afterwards, remove images and what BuildKit keeps since this began."""
    before = _cached()
    try:
        yield
    finally:
        if images:
            docker("rmi", "--force", *images, check=False)
        made = {record: date for record, date in _cached().items() if record not in before}
        # The newest first: BuildKit keeps what others were made from.
        for record in sorted(made, key=made.__getitem__, reverse=True):
            docker("builder", "prune", "--all", "--force", "--filter", f"id={record}", check=False)


def _cached() -> dict[str, str]:
    """Return id -> date of BuildKit's records; Docker marks those in use by a star."""
    told = docker("system", "df", "--verbose", "--format", "{{json .BuildCache}}").stdout
    return {record["ID"].rstrip("*"): record["CreatedAt"] for record in json.loads(told) or ()}


def _engines() -> list[Path]:
    return [path.parent for path in Path("/proc").glob("[0-9]*/comm") if _text(path) == "dockerd"]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:  # the process has ended
        return ""
