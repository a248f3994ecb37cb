"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from slimpack.errors import InputError, SlimpackError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your disk quota is used up; free some space and run again",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EISDIR: "a folder is in the way; choose another name",
    errno.ENOTDIR: "a file is in the way; choose another name",
}


def temporary_name(path: Path) -> Path:
    """Return an unused hidden name beside `path`, on the same file system."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError inside the context into a SlimpackError about writing `path`."""
    try:
        yield
    except OSError as error:
        raise SlimpackError(
            f"cannot write {path}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, ""),
        ) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that is gone when the context ends.

    The body renames it to where it belongs (see `publish`); whatever ends the
    body otherwise, an error or Ctrl-C, leaves nothing behind. Permissions follow
    the umask. Raises SlimpackError when the disk is full or refuses.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(path)
        try:
            with temporary.open("xb") as stream:
                yield stream
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


def publish(stream: BinaryIO, path: Path, *, durable: bool = True) -> None:
    """Give the open temporary file `stream` its final name, replacing what is there.

    durable: wait until the content is on the disk, so that not even a power
    cut leaves an empty file under a name that promises content.
    """
    stream.flush()
    if durable:
        os.fsync(stream.fileno())
    Path(stream.name).replace(path)


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open `path` for writing; it appears, whole, when the body ends without error.

    A link stays a link, and the file that it leads to is replaced. What is no
    regular file (/dev/stdout, a FIFO) is written to as it is.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with explained(path), path.open("wb") as device:
            yield device
        return
    target = path.resolve() if path.is_symlink() else path
    with new_file(target) as stream:
        yield stream
        publish(stream, target, durable=durable)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits, read in pieces. Raises OSError."""
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(1 << 20):
            hashed.update(data)
    return hashed.hexdigest()


def size_and_digest(path: Path) -> tuple[int, str]:
    """Read a file that was written out of order; return its bytes and its SHA-256 in hex."""
    with explained(path):
        return path.stat().st_size, file_digest(path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits. Raises InputError when it cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


class FileSlice:
    """A readable part of a file: `size` bytes from `offset` on."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes of the slice."""
        if size < 0 or size > self._left:
            size = self._left
        data = self._file.read(size)
        self._left -= len(data)
        return data

    def skip(self, size: int) -> int:
        """Jump over up to `size` bytes; return how many there were."""
        size = min(size, self._left)
        self._file.seek(size, os.SEEK_CUR)
        self._left -= size
        return size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
