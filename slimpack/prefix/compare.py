"""Is a file what its package says? Each is read once and compared by digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from slimpack.env.meta import InstalledFile, InstalledPackage
from slimpack.prefix.restore import proven
from slimpack.prefix.walk import Contents
from slimpack.progress import Task
from slimpack.reading import CHUNK

_JOBS = min(4, os.cpu_count() or 1)
_MODES = ("text", "binary")


class State(Enum):
    """How a file in the prefix stands to what its package declares.

    SHIPPED: these very bytes. RESTORED: these bytes once the prefix is the
    placeholder again. INSTALLED: as the installer wrote it, or nothing more is
    declared than that it is there. CHANGED, DELETED: neither.
    """

    SHIPPED = "shipped"
    RESTORED = "restored"
    INSTALLED = "installed"
    ELSEWHERE = "names another place"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True)
class Claim:
    """A package's claim to a path, and what is there.

    path: where it is on disk; another than `file.path` when a folder on the way
        is a link.
    """

    package: InstalledPackage
    file: InstalledFile
    path: str
    state: State

    @property
    def intact(self) -> bool:
        """The file is there and nobody has touched it."""
        return self.state in (State.SHIPPED, State.RESTORED, State.INSTALLED)


def compare(
    prefix: Path,
    claims: Iterable[tuple[InstalledPackage, InstalledFile, str]],
    contents: Contents,
    homes: Sequence[str],
    task: Task,
) -> Iterator[Claim]:
    """Compare files with their declarations, in the order given.

    claims: (package, file, path on disk).
    homes: the paths that the prefix's files may name.
    """

    def look(claim: tuple[InstalledPackage, InstalledFile, str]) -> Claim:
        package, file, path = claim
        status = contents.there.get(path)
        state = State.DELETED if status is None else _state(prefix / path, status, file, homes)
        task.advance(status.st_size if status else 0)
        return Claim(package, file, path, state)

    with ThreadPoolExecutor(_JOBS) as pool:
        yield from pool.map(look, claims, chunksize=64)


def _state(path: Path, status: os.stat_result, file: InstalledFile, homes: Sequence[str]) -> State:
    if stat.S_ISDIR(status.st_mode):
        return State.CHANGED
    if file.path_type == "softlink":
        # Its digest is that of the target's content at build time: it proves
        # nothing here. Where links cannot be made, conda copies.
        return State.INSTALLED
    if stat.S_ISLNK(status.st_mode):
        return _linked(path, file, homes)
    return _regular(path, file, homes)


def _linked(path: Path, file: InstalledFile, homes: Sequence[str]) -> State:
    """Judge a link in the place of a file: conda with ``allow_softlinks`` links to its cache."""
    if not file.sha256:
        return State.INSTALLED  # old records do not tell links from files
    return _regular(path, file, homes) if path.is_file() else State.CHANGED


def _regular(path: Path, file: InstalledFile, homes: Sequence[str]) -> State:
    if not file.sha256 and not file.in_prefix:
        return State.INSTALLED
    if file.placeholder:
        return _prefixed(path.read_bytes(), file, homes)
    digest = sha256(path)
    if digest == file.sha256:
        return State.SHIPPED
    return State.INSTALLED if digest == file.in_prefix else State.CHANGED


def _prefixed(data: bytes, file: InstalledFile, homes: Sequence[str]) -> State:
    restored = restored_file(data, file, homes)
    if restored is not None:
        return State.SHIPPED if restored is data else State.RESTORED
    if hashlib.sha256(data).hexdigest() == file.in_prefix:
        return State.INSTALLED if any(home.encode() in data for home in homes) else State.ELSEWHERE
    return State.CHANGED


def restored_file(data: bytes, file: InstalledFile, homes: Sequence[str]) -> bytes | None:
    """Return the packaged bytes of an installed file, None unless their digest proves them.

    homes: paths that the file may name, the likeliest first.
    """
    mode = file.mode if file.mode in _MODES else ""
    tries = (
        proven(data, file.sha256, prefix=home, placeholder=file.placeholder, mode=mode)
        for home in homes
    )
    return next((restored for restored in tries if restored is not None), None)


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while data := stream.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
