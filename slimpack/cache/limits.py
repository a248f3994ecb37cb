"""Keeping a cache small: what was not used for the longest time goes first.

Layers and results of stages go by the time of their last use; records, which are small
and know layers without their bytes, only when nothing else is left. Nothing is locked:
whoever has a file open keeps it, and what is missing is made again.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache.contents import (
    LAYERS,
    RECORDS,
    SCRATCH,
    UNFINISHED,
    Item,
    fetched,
    is_partial,
    kept,
)
from slimpack.cache.folders import Cache
from slimpack.errors import InputError
from slimpack.files import temporary_name
from slimpack.oci.digest import hex_of
from slimpack.sizes import parse_size

DEFAULT_SIZE = "20 GB"
STALE = 3600.0
"""Seconds after which a file that nobody writes to is taken for a killed build's."""

STALE_DOWNLOAD = 7 * 86400.0
"""The same for a download, which the next build goes on with."""

FETCHED_DAYS = 30.0
"""Days after which what was fetched and not used goes, where nobody says otherwise."""

DAY = 86400.0
_UNITS = {"m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
_AGE = re.compile(r"([0-9]{1,6}) ?([a-z]?)")


@dataclass(frozen=True)
class Removed:
    """How much was removed.

    number: of files, a conda package being one. busy: what stays because a build runs.
    """

    number: int = 0
    size: int = 0
    busy: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.number + other.number, self.size + other.size, self.busy + other.busy)


def size_limit(environ: Mapping[str, str] = os.environ) -> int:
    """Return the bytes that a cache may have: ``$SLIMPACK_CACHE_SIZE``, 20 GB by default.

    It counts layers, results and records. Raises InputError for what is no size.
    """
    text = environ.get("SLIMPACK_CACHE_SIZE") or DEFAULT_SIZE
    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(f"SLIMPACK_CACHE_SIZE: {error}") from error


def parse_age(text: str) -> float:
    """Return seconds for a time such as ``7d``; ValueError for what is none."""
    match = _AGE.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"expected a time such as 30m, 12h, 7d or 4w, got {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def trim(cache: Cache, limit: int, *, unused: float | None = None) -> Removed:
    """Remove layers, results and records until they have `limit` bytes at most.

    unused: seconds; what was not used for longer goes whatever the limit.
    A file that was used in the meantime stays. Trouble with a file is passed over.
    """
    now = time.time()
    oldest = now - unused if unused is not None else float("-inf")
    items = list(kept(cache))
    total = sum(item.size for item in items)
    removed = Removed()
    for item in sorted(items, key=_order):
        if item.part == UNFINISHED:
            done = _is_left(item, now) and _remove_unlocked(item)
        else:
            done = (total > limit or item.used < oldest) and _remove_file(item)
        if done:
            total -= item.size
            removed += Removed(1, item.size)
    return removed


def make_room(cache: Cache, spared: Collection[str]) -> Removed:
    """Remove all layers but those with the digests in `spared`, because the disk is full."""
    names = {hex_of(digest) for digest in spared}
    removed = Removed()
    for item in list(kept(cache)):
        if item.part == LAYERS and item.path.name not in names and _remove_file(item):
            removed += Removed(1, item.size)
    return removed


def trim_fetched(cache: Cache, unused: float) -> Removed:
    """Remove what was fetched for builds and was not used for `unused` seconds.

    Nothing goes while a build runs, which may be about to use it; builds that start
    meanwhile wait. Raises OSError for a cache that cannot be written.
    """
    oldest = time.time() - unused
    removed = Removed()
    with cache.quiet() as idle:
        for item in list(fetched(cache)):
            if item.part == SCRATCH or item.used > oldest:
                continue
            if not idle:
                removed += Removed(busy=1)
            elif _remove_folder(cache, item) if item.path.is_dir() else _remove_file(item):
                removed += Removed(1, item.size)
    return removed


def totals(items: Iterable[Item]) -> dict[str, tuple[int, int, float]]:
    """Return number, bytes and time of the longest unused item for each part there is."""
    found: dict[str, tuple[int, int, float]] = {}
    for item in items:
        number, size, used = found.get(item.part, (0, 0, float("inf")))
        found[item.part] = number + 1, size + item.size, min(used, item.used)
    return found


def _order(item: Item) -> tuple[bool, float]:
    return item.part == RECORDS, item.used


def _is_left(item: Item, now: float) -> bool:
    """Tell whether whoever wrote an unfinished file must be gone."""
    return item.used < now - (STALE_DOWNLOAD if is_partial(item.path) else STALE)


def _remove_unlocked(item: Item) -> bool:
    """Remove an unfinished file unless somebody holds its lock."""
    try:
        with item.path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _remove_file(item)
    except OSError:
        return False


def _remove_file(item: Item) -> bool:
    """Remove a file unless it was used after it was looked at."""
    try:
        status = item.path.lstat()
        if status.st_mtime > item.used:
            return False
        item.path.unlink()
    except OSError:
        return False
    return True


def _remove_folder(cache: Cache, item: Item) -> bool:
    """Remove a package at once: it is renamed first, to where killed builds are swept."""
    trash = temporary_name(cache.root / "tmp" / item.path.name)
    try:
        item.path.rename(trash)
        Path(f"{item.path}.lock").unlink(missing_ok=True)
    except OSError:
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True
