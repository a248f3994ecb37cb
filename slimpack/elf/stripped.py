"""The bytes of a stripped file, made while the original is read once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from slimpack.elf.headers import ElfError
from slimpack.elf.pieces import Copy, Literal
from slimpack.elf.strip import StripPlan

_CHUNK = 1024 * 1024


def stripped(stream: BinaryIO, plan: StripPlan) -> BinaryIO:
    """Return a stream of the `plan.new_size` bytes that a plan makes of the original.

    stream: the original from its start; it need not be seekable. It is read from start
        to end, what is dropped as well, before the last byte of the result is given
        away: a stream that checks its content at its end has done so by then. Closing
        the result closes it.
    Reading raises ElfError when the original is shorter than it was when the plan was made.
    """
    return cast(BinaryIO, _Stripped(stream, plan))


class _Stripped(io.BufferedIOBase):
    def __init__(self, stream: BinaryIO, plan: StripPlan) -> None:
        self._stream = stream
        self._chunks = _chunks(stream, plan)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        parts: list[memoryview] = []
        left = -1 if size is None or size < 0 else size
        while left:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            part = self._rest if left < 0 else self._rest[:left]
            self._rest = self._rest[len(part) :]
            left -= len(part) if left > 0 else 0
            parts.append(part)
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(_CHUNK if size < 0 else size)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _chunks(stream: BinaryIO, plan: StripPlan) -> Iterator[bytes]:
    position = 0

    def read(length: int) -> Iterator[bytes]:
        nonlocal position
        end = position + length
        while position < end:
            data = stream.read(min(_CHUNK, end - position))
            if not data:
                raise ElfError("the file is shorter than it was when its strip was planned")
            position += len(data)
            yield data

    for piece in plan.pieces[:-1]:
        if isinstance(piece, Copy):
            for _ in read(piece.offset - position):
                pass
            yield from read(piece.length)
        elif isinstance(piece, Literal):
            yield piece.data
        else:
            for start in range(0, piece.length, _CHUNK):
                yield bytes(min(_CHUNK, piece.length - start))
    for _ in read(plan.size - position):
        pass
    last = plan.pieces[-1]
    assert isinstance(last, Literal)
    yield last.data
