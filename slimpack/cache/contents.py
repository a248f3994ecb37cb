"""What lies in a cache: how large, and when it was last of use."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache.folders import Cache

LAYERS, RECORDS, RESULTS, UNFINISHED = "layers", "records", "results", "unfinished"
PACKAGES, PYTHONS, CHANNELS, DEBIAN = "packages", "pythons", "channels", "debian"
SCRATCH = "scratch"
PARTS = {
    LAYERS: "layers that were built or pulled",
    RECORDS: "what is known of layers",
    RESULTS: "results of stages",
    UNFINISHED: "files being written, or left by a build that was killed",
    PACKAGES: "conda packages",
    PYTHONS: "Pythons that compile applications",
    CHANNELS: "indexes of channels",
    DEBIAN: "packages of Debian bases",
    SCRATCH: "scratch folders of builds",
}
"""The parts of a cache, and what each holds."""


@dataclass(frozen=True)
class Item:
    """A file or folder that can be removed by itself.

    part: a key of `PARTS`. size: bytes of its files. used: time of the last use, seconds.
    """

    part: str
    path: Path
    size: int
    used: float


def kept(cache: Cache) -> Iterator[Item]:
    """Yield what is kept of builds: layers, records, results, and what is unfinished of them."""
    views = [Cache(cache.root), *(Cache(cache.root, folder) for folder in _folders(cache.apart))]
    for part, folder in (
        (LAYERS, cache.blobs),
        *((RECORDS, view.records) for view in views),
        *((RESULTS, view.memos) for view in views),
    ):
        for entry, status in _files(folder):
            path = Path(entry.path)
            unfinished = is_temporary(entry.name) or is_partial(path)
            yield Item(UNFINISHED if unfinished else part, path, status.st_size, status.st_mtime)


def fetched(cache: Cache) -> Iterator[Item]:
    """Yield what was fetched for builds, and their scratch folders.

    A conda package is one item, and so is an installed Python. Making a hard link to a file
    sets its ctime, so the newest one tells when a package was last installed; of other
    files their atime does, as far as the file system keeps it, or else when they came.
    """
    inodes: set[tuple[int, int]] = set()
    yield from _packages(cache, inodes)
    yield from _each(cache.interpreters, PYTHONS, inodes)
    for part, folder in ((CHANNELS, cache.repodata), (DEBIAN, cache.debian)):
        for entry, status in _files(folder):
            used = max(status.st_atime, status.st_mtime)
            yield Item(part, Path(entry.path), status.st_size, used)
    yield from _each(cache.root / "tmp", SCRATCH, inodes)


def _packages(cache: Cache, inodes: set[tuple[int, int]]) -> Iterator[Item]:
    """Yield the conda packages, those of micromamba too."""
    own = cache.packages / "micromamba"
    yield from _each(cache.packages, PACKAGES, inodes, leave_out=own.name)
    yield from _each(own, PACKAGES, inodes)


def is_temporary(name: str) -> bool:
    """Tell whether it is the name of a file that is being written (`slimpack.files`)."""
    return name.startswith(".") and name.endswith(".tmp")


def is_partial(path: Path) -> bool:
    """Tell whether it is a download that goes on later (`slimpack.registry.download`)."""
    return path.parent.name == "partial"


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _scan(folder) if entry.is_dir(follow_symlinks=False)]


def _each(
    folder: Path, part: str, inodes: set[tuple[int, int]], *, leave_out: str = ""
) -> Iterator[Item]:
    """Yield an item for whatever lies in a folder, locks left out, with all that is below it.

    inodes: the files that were counted, under whatever name; each counts once.
    """
    for entry in _scan(folder):
        found = _status(entry)
        if found is None or entry.name == leave_out or entry.name.endswith(".lock"):
            continue
        size, used = 0, 0.0
        for status in (found, *(status for _, status in _files(Path(entry.path)))):
            used = max(used, status.st_ctime)
            inode = status.st_dev, status.st_ino
            if stat.S_ISREG(status.st_mode) and inode not in inodes:
                inodes.add(inode)
                size += status.st_size
        yield Item(part, Path(entry.path), size, used)


def _files(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield the files and links below a folder; what cannot be looked at is left out."""
    folders = [os.fspath(folder)]
    while folders:
        for entry in _scan(folders.pop()):
            status = _status(entry)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(entry.path)
            else:
                yield entry, status


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(os.fspath(folder)))
    except OSError:
        return []


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None
