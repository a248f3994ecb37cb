"""What lies in a cache: how large, and when it was last of use."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache.folders import Cache

LAYERS, RECORDS, RESULTS, UNFINISHED = "layers", "records", "results", "unfinished"
PACKAGES, CHANNELS, DEBIAN, SCRATCH = "packages", "channels", "debian", "scratch"
PARTS = {
    LAYERS: "layers that were built or pulled",
    RECORDS: "what is known of layers",
    RESULTS: "results of stages",
    UNFINISHED: "files being written, or left by a build that was killed",
    PACKAGES: "conda packages",
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
    for part, folder in (
        (LAYERS, cache.blobs),
        (RECORDS, cache.records),
        (RESULTS, cache.memos),
    ):
        for entry, status in _files(folder):
            path = Path(entry.path)
            unfinished = is_temporary(entry.name) or is_partial(path)
            yield Item(UNFINISHED if unfinished else part, path, status.st_size, status.st_mtime)


def fetched(cache: Cache) -> Iterator[Item]:
    """Yield what was fetched for builds, and their scratch folders.

    A conda package is one item. Making a hard link to a file sets its ctime, so the
    newest one tells when a package was last installed; of other files their atime does,
    as far as the file system keeps it, or else when they came.
    """
    yield from packages(cache)
    for part, folder in ((CHANNELS, cache.repodata), (DEBIAN, cache.debian)):
        for entry, status in _files(folder):
            used = max(status.st_atime, status.st_mtime)
            yield Item(part, Path(entry.path), status.st_size, used)
    yield from _each(cache.root / "tmp", SCRATCH)


def packages(cache: Cache) -> Iterator[Item]:
    """Yield the conda packages, those of micromamba too."""
    own = cache.packages / "micromamba"
    for folder in (cache.packages, own):
        for item in _each(folder, PACKAGES):
            if item.path != own and not item.path.name.endswith(".lock"):
                yield item


def is_temporary(name: str) -> bool:
    """Tell whether it is the name of a file that is being written (`slimpack.files`)."""
    return name.startswith(".") and name.endswith(".tmp")


def is_partial(path: Path) -> bool:
    """Tell whether it is a download that goes on later (`slimpack.registry.download`)."""
    return path.parent.name == "partial"


def _each(folder: Path, part: str) -> Iterator[Item]:
    """Yield an item for whatever lies in a folder, with all that is below it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        found = _status(entry)
        if found is None:
            continue
        size, used, inodes = 0, 0.0, set()
        for status in (found, *(status for _, status in _files(Path(entry.path)))):
            used = max(used, status.st_ctime)
            if stat.S_ISREG(status.st_mode) and status.st_ino not in inodes:
                inodes.add(status.st_ino)
                size += status.st_size
        yield Item(part, Path(entry.path), size, used)


def _files(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield the files and links below a folder; what cannot be looked at is left out."""
    folders = [os.fspath(folder)]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            status = _status(entry)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(entry.path)
            else:
                yield entry, status


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None
