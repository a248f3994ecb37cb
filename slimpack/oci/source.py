"""Named files of an image on disk, in a folder or in a tar, without extracting.

Names come from untrusted JSON and untrusted archives: they are relative and
normal, or refused; links are followed inside of the image only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from slimpack.errors import ImageError
from slimpack.files import FileSlice
from slimpack.oci.decompress import sniff
from slimpack.oci.digest import ByteStream
from slimpack.oci.untar import Member, TarReader, normal_path

_MAX_FILES = 100_000
_MAX_LINKS = 8


class Slice(ByteStream, Protocol):
    """A stream over a part of a medium."""

    def skip(self, size: int) -> int:
        """Jump over up to `size` bytes; return how many there were."""


class Medium(Protocol):
    """Bytes that can be read from anywhere: a file, or several one behind the other.

    what: names it in messages. size: in bytes.
    """

    @property
    def what(self) -> str:
        """What it is called in messages."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def slice(self, offset: int, size: int) -> Slice:
        """Open `size` bytes from `offset` on; the caller closes the stream."""


@dataclass(frozen=True)
class FileMedium:
    """A file as a medium."""

    path: Path
    size: int

    @staticmethod
    def of(path: Path) -> FileMedium:
        """Return the file at `path`; raise OSError if it is not there."""
        return FileMedium(path, path.stat().st_size)

    @property
    def what(self) -> str:
        """The path."""
        return str(self.path)

    def slice(self, offset: int, size: int) -> Slice:
        """Open `size` bytes from `offset` on."""
        return FileSlice(self.path, offset, size)


class Stored(Protocol):
    """A file of an image, wherever its bytes are."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def open(self) -> ByteStream:
        """Open it for reading; the caller closes it."""


@dataclass(frozen=True)
class StoredFile:
    """`size` bytes of a medium, from `offset` on."""

    medium: Medium
    offset: int
    size: int

    def open(self) -> ByteStream:
        """Open it for reading; the caller closes it."""
        return self.medium.slice(self.offset, self.size)


class Files(Protocol):
    """The files of an image; `what` names it in messages."""

    what: str

    def has(self, name: str) -> bool:
        """Tell whether there is a file of that name."""

    def find(self, name: str) -> Stored:
        """Return the file; raise ImageError if it is missing."""

    def read(self, name: str, limit: int) -> bytes:
        """Return a whole small file; raise ImageError if missing or over `limit` bytes."""


def folder_files(path: Path) -> Files:
    """Return the files of a folder."""
    return _Folder(path)


def tar_files(path: Path) -> Files:
    """Return the files of an uncompressed tar; raise ImageError for anything else."""
    return tar_files_in(FileMedium.of(path))


def tar_files_in(medium: Medium) -> Files:
    """Return the files of an uncompressed tar on any medium; raise as `tar_files` does."""
    return _Tar(medium)


class _Base(ABC):
    what: str

    @abstractmethod
    def find(self, name: str) -> Stored:
        """Return the file of that name; raise ImageError when there is none."""

    def read(self, name: str, limit: int) -> bytes:
        found = self.find(name)
        if found.size > limit:
            raise ImageError(
                f"{name} of {self.what} has {found.size} bytes, more than the {limit} allowed"
            )
        stream = found.open()
        try:
            return stream.read(found.size)
        finally:
            stream.close()


class _Folder(_Base):
    def __init__(self, path: Path) -> None:
        self.what = str(path)
        self._root = path.resolve()

    def has(self, name: str) -> bool:
        return (self._root / name).is_file()

    def find(self, name: str) -> StoredFile:
        try:
            path = (self._root / normal_path(name, self.what)).resolve()
        except (UnicodeEncodeError, RuntimeError):  # a lone surrogate; a loop of symlinks
            raise ImageError(f"{name[:200]!r} of {self.what} is not a file") from None
        if not path.is_relative_to(self._root):
            raise ImageError(f"{name[:200]!r} of {self.what} leads out of it")
        if not path.is_file():
            raise ImageError(f"{self.what} lacks the file {name[:200]!r}")
        medium = FileMedium.of(path)
        return StoredFile(medium, 0, medium.size)


class _Tar(_Base):
    def __init__(self, medium: Medium) -> None:
        self.what = medium.what
        self._medium = medium
        self._members: dict[str, Member] = {}
        stream = medium.slice(0, medium.size)
        try:
            self._check_plain(stream.read(4))
        finally:
            stream.close()
        stream = medium.slice(0, medium.size)
        try:
            for member in TarReader(stream, self.what, skip=stream.skip):
                self._add(member)
        finally:
            stream.close()

    def _check_plain(self, head: bytes) -> None:
        kind = sniff(head)
        if kind != "none":
            raise ImageError(
                f"{self.what} is compressed as a whole ({kind})",
                hint=f"unpack it first: {'gzip' if kind == 'gzip' else 'zstd'} -d",
            )

    def _add(self, member: Member) -> None:
        if member.kind == "directory":
            return
        if member.path in self._members:
            raise ImageError(f"{self.what} holds {member.path[:200]!r} twice")
        if len(self._members) >= _MAX_FILES:
            raise ImageError(f"{self.what} holds more than {_MAX_FILES} files")
        self._members[member.path] = member

    def has(self, name: str) -> bool:
        return name in self._members

    def find(self, name: str) -> StoredFile:
        path = normal_path(name, self.what)
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None:
                raise ImageError(f"{self.what} lacks the file {name[:200]!r}")
            if member.kind == "file":
                return StoredFile(self._medium, member.offset, member.size)
            if member.kind == "hardlink":
                path = member.link
            elif member.kind == "symlink":
                path = _followed(member, self.what)
            else:
                break
        raise ImageError(f"{name[:200]!r} of {self.what} is not a file")


def _followed(member: Member, what: str) -> str:
    """Return where a symlink leads; ``..`` may go up, but not out of the archive."""
    parts: list[str] = list(PurePosixPath(member.path).parent.parts)
    for part in member.link.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == ".." or member.link.startswith("/"):
            raise ImageError(f"{member.path[:200]!r} of {what} leads out of it")
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
