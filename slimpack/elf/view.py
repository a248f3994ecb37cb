"""A planned file that can be read anywhere, so that a further plan can be made of it."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import BinaryIO, cast

from slimpack.elf.headers import ElfError
from slimpack.elf.pieces import Copy, Literal, Plan


def view(stream: BinaryIO, plan: Plan) -> BinaryIO:
    """Return the file that a plan makes of a seekable original; closing it closes that."""
    return cast(BinaryIO, io.BufferedReader(_View(stream, plan)))


class _View(io.RawIOBase):
    def __init__(self, stream: BinaryIO, plan: Plan) -> None:
        self._stream = stream
        self._pieces = plan.pieces
        self._starts = [0, *accumulate(piece.length for piece in plan.pieces)]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        n = bisect_right(self._starts, self._position) - 1
        if n >= len(self._pieces):
            return 0
        piece, inside = self._pieces[n], self._position - self._starts[n]
        length = min(len(buffer), piece.length - inside)
        if isinstance(piece, Copy):
            self._stream.seek(piece.offset + inside)
            data = self._stream.read(length)
            if not data:
                raise ElfError("the file is shorter than it was when its plan was made")
        elif isinstance(piece, Literal):
            data = piece.data[inside : inside + length]
        else:
            data = bytes(length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
