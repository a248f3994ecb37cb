"""A file on its way: under a lock, hashed while it grows, kept for whoever goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from slimpack.files import publish
from slimpack.oci.digest import chunks

_STALE_SECONDS = 7 * 86_400


class Partial:
    """An open partial file. size: bytes that are there."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0
        stream.seek(0)
        for data in chunks(stream):
            self._hash.update(data)
            self.size += len(data)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)

    def empty(self) -> None:
        """Forget what is there."""
        self._stream.seek(0)
        self._stream.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """Digest of what is there."""
        return f"sha256:{self._hash.hexdigest()}"

    def publish(self, target: Path) -> None:
        """Give the file its final name."""
        target.parent.mkdir(parents=True, exist_ok=True)
        publish(self._stream, target)


@contextmanager
def partial(path: Path) -> Iterator[Partial]:
    """Open a partial file, alone; what is in it stays when the context ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            # Whoever had the lock before may have renamed or removed the file.
            if not _is_still(stream, path):
                continue
            found = Partial(stream)
            try:
                yield found
            finally:
                if not found.size and _is_still(stream, path):
                    path.unlink(missing_ok=True)
            return


def sweep(folder: Path) -> None:
    """Remove the partial files in a folder that nobody has gone on with for a week."""
    with suppress(OSError):
        for path in folder.iterdir():
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink(missing_ok=True)


def _is_still(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
