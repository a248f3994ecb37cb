"""The files of an image as data: `Entry` and `Tree`.

An entry says what a file is and how to open it; its bytes are read only when a
layer is written. A `Tree` is a sorted, immutable sequence of entries, one for
each path. Nothing here knows of conda or of container images.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import BinaryIO

Opener = Callable[[], BinaryIO]


class Kind(Enum):
    """What an entry is in a file system."""

    FILE = "file"
    SYMLINK = "symlink"
    DIRECTORY = "directory"
    HARDLINK = "hardlink"
    """Another name of a regular file of the same layer; trees have none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of the image.

    path: absolute inside the image, without the leading slash and in normal
        form (``opt/env/bin/python3.11``); never ``.`` or ``..`` segments.
    mode: permission bits only (0o755).
    owner: name of the package that the entry came from; "" for nobody.
    size: bytes of a regular file, 0 for others.
    opener: gives a readable binary stream of exactly `size` bytes (files only).
    link: target of a symbolic link, as stored; of a hard link, the `path` of the
        regular file, of the same mode, uid and gid, that it is another name of.
    uid, gid: numeric owner in the image, root unless the entry needs another.
    identity: of a regular file, a text that is another one wherever the bytes are;
        "" when nobody knows one without reading them. Content that is known by its
        SHA-256 has `content_identity` of that.
    """

    path: str
    kind: Kind
    mode: int
    owner: str = ""
    size: int = 0
    opener: Opener | None = None
    link: str = ""
    uid: int = 0
    gid: int = 0
    identity: str = ""

    def __post_init__(self) -> None:
        check_path(self.path)
        if (self.kind is Kind.FILE) != (self.opener is not None):
            raise ValueError(f"{self.path}: files, and only files, have an opener")
        if (self.kind in (Kind.SYMLINK, Kind.HARDLINK)) != bool(self.link):
            raise ValueError(f"{self.path}: links, and only links, have a target")
        if self.kind is not Kind.FILE and self.size:
            raise ValueError(f"{self.path}: a {self.kind.value} has no size")
        if self.kind is Kind.HARDLINK:
            check_path(self.link)
            if self.link == self.path:
                raise ValueError(f"{self.path}: a hard link to itself")

    def open(self) -> BinaryIO:
        """Open the content of a regular file; the caller closes it."""
        if self.opener is None:
            raise ValueError(f"{self.path} is a {self.kind.value} and has no content")
        return self.opener()

    def read(self) -> bytes:
        """Return the whole content of a regular file."""
        with self.open() as stream:
            return stream.read()

    def sha256(self) -> str:
        """Return the SHA-256 of a regular file in hex; it is never whole in memory."""
        value = hashlib.sha256()
        with self.open() as stream:
            while data := stream.read(1 << 20):
                value.update(data)
        return value.hexdigest()


_NOT_NORMAL = frozenset(("", ".", ".."))


def check_path(path: str) -> None:
    """Raise ValueError unless `path` is relative, normal and stays inside the root."""
    if not path or path.startswith("/") or "\0" in path:
        raise ValueError(f"not a path inside the image: {path!r}")
    if not _NOT_NORMAL.isdisjoint(path.split("/")):
        raise ValueError(f"not a normal path: {path!r}")


def content_identity(sha256: str) -> str:
    """Return the `Entry.identity` of content with that SHA-256 (hex digits)."""
    return f"sha256:{sha256}"


@dataclass(frozen=True, slots=True, eq=False)
class _OnDisk:
    """Opens a file on disk; a closure for each of a million files would take thrice the memory."""

    path: Path

    def __call__(self) -> BinaryIO:
        return open(self.path, "rb")


def file_entry(path: str, source: Path, *, mode: int | None = None, owner: str = "") -> Entry:
    """Describe a file, link or directory on disk, without reading its content.

    Permissions are reduced to what an image needs and a umask cannot change:
    0755 for directories and for files that their owner may execute, else 0644.
    """
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        return symlink_entry(path, os.readlink(source), owner=owner)  # noqa: PTH115 (bytes-exact)
    if stat.S_ISDIR(status.st_mode):
        return directory_entry(path, mode=0o755 if mode is None else mode, owner=owner)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{source} is neither a file, a link nor a directory")
    if mode is None:
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return Entry(
        path=path,
        kind=Kind.FILE,
        mode=mode,
        owner=owner,
        size=status.st_size,
        opener=_OnDisk(source),
    )


def bytes_entry(path: str, data: bytes, *, mode: int = 0o644, owner: str = "") -> Entry:
    """Describe a file whose content is held in memory."""
    return Entry(
        path=path,
        kind=Kind.FILE,
        mode=mode,
        owner=owner,
        size=len(data),
        opener=lambda: io.BytesIO(data),
        identity=content_identity(hashlib.sha256(data).hexdigest()),
    )


def identified(entry: Entry) -> Entry:
    """Return an entry with an identity; a file without one is read for it."""
    if entry.kind is not Kind.FILE or entry.identity:
        return entry
    return replace(entry, identity=content_identity(entry.sha256()))


def symlink_entry(path: str, link: str, *, owner: str = "") -> Entry:
    """Describe a symbolic link (mode 0777, as Linux reports them)."""
    return Entry(path=path, kind=Kind.SYMLINK, mode=0o777, owner=owner, link=link)


def directory_entry(
    path: str, *, mode: int = 0o755, owner: str = "", uid: int = 0, gid: int = 0
) -> Entry:
    """Describe a directory."""
    return Entry(path=path, kind=Kind.DIRECTORY, mode=mode, owner=owner, uid=uid, gid=gid)


def hardlink_entry(
    path: str, target: str, *, mode: int, owner: str = "", uid: int = 0, gid: int = 0
) -> Entry:
    """Describe another name of the regular file at `target`, whose mode, uid and gid it repeats."""
    return Entry(path, Kind.HARDLINK, mode, owner, link=target, uid=uid, gid=gid)


class Tree:
    """Entries sorted by path, each path once; immutable.

    Every file of a tree has a content of its own, so that any of them can be
    taken away or changed. Which share one is decided for each layer, at the end.

    Raises ValueError when two entries claim one path, when a path runs through
    something that is not a directory, and for a hard link.
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[Entry]) -> None:
        by_path: dict[str, Entry] = {}
        for entry in entries:
            if entry.path in by_path:
                raise ValueError(f"two entries for {entry.path}")
            if entry.kind is Kind.HARDLINK:
                raise ValueError(f"{entry.path}: a tree has no hard links, a layer may")
            by_path[entry.path] = entry
        checked = {""}
        for path in by_path:
            parent = path.rpartition("/")[0]
            while parent not in checked:
                checked.add(parent)
                above = by_path.get(parent)
                if above is not None and above.kind is not Kind.DIRECTORY:
                    raise ValueError(f"{path} lies below {parent}, a {above.kind.value}")
                parent = parent.rpartition("/")[0]
        self._entries = {path: by_path[path] for path in sorted(by_path)}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def get(self, path: str) -> Entry | None:
        """Return the entry at `path`, or None."""
        return self._entries.get(path)

    def map(self, change: Callable[[Entry], Entry]) -> Tree:
        """Return a tree with every entry replaced by ``change(entry)``."""
        return Tree(change(entry) for entry in self)

    def filter(self, keep: Callable[[Entry], bool]) -> Tree:
        """Return a tree of the entries for which ``keep(entry)`` is true."""
        return Tree(entry for entry in self if keep(entry))

    def merge(self, other: Iterable[Entry]) -> Tree:
        """Return a tree in which `other` replaces entries of the same path."""
        entries = dict(self._entries)
        entries.update((entry.path, entry) for entry in other)
        return Tree(entries.values())

    @property
    def size(self) -> int:
        """Bytes of all regular files together."""
        return sum(entry.size for entry in self)

    @property
    def files(self) -> int:
        """Number of entries that are not directories."""
        return sum(entry.kind is not Kind.DIRECTORY for entry in self)


def may_be_elf(path: str, mode: int) -> bool:
    """Tell whether name and permissions are those of a program or a shared library.

    A first sieve, so that not every file must be opened; its magic bytes decide.
    """
    return bool(mode & 0o111) or ".so" in path.rpartition("/")[2]


def parents(path: str) -> list[str]:
    """Return the directories above `path`, outermost first, without the root."""
    found = []
    while path := path.rpartition("/")[0]:
        found.append(path)
    return found[::-1]


def linked(path: str, link: str) -> str:
    """Return the path that a relative link at `path` leads to, in normal form."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def under(prefix: str, path: str) -> str:
    """Join an absolute image directory and a relative path into an entry path."""
    return f"{prefix.strip('/')}/{path}" if prefix.strip("/") else path
