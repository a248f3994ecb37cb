"""A part of a file as a stream of its own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Slice(io.RawIOBase):
    """Bytes `offset` to ``offset + size`` of a file, read-only.

    Reading past the end of the file raises OSError, so a file that was cut
    short after it had been measured can never pass for a shorter one.
    """

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        self._stream.seek(offset)
        self._left = size

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer` as far as the slice goes."""
        view = memoryview(buffer).cast("B")[: self._left]
        if not view:
            return 0
        done = self._stream.readinto(view) or 0
        if not done:
            raise OSError(f"{self._stream.name} is shorter than it was")
        self._left -= done
        return done

    def close(self) -> None:
        """Close the file below."""
        self._stream.close()
        super().close()


def open_slice(path: Path, offset: int, size: int) -> BinaryIO:
    """Open a buffered stream of a part of a file."""
    return io.BufferedReader(Slice(path, offset, size), 1 << 16)
