"""The bytes of a file that is planned as pieces of another, made while that is read once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from slimpack.elf.headers import ElfError
from slimpack.elf.pieces import Copy, Literal, Plan

_CHUNK = 1024 * 1024


def stripped(stream: BinaryIO, plan: Plan) -> BinaryIO:
    """Return a stream of the bytes that a plan makes of the original.

    stream: the original from its start; it need not be seekable. It is read from start
        to end, what is dropped as well, before the last byte of the result is given
        away: a stream that checks its content at its end has done so by then. Closing
        the result closes it.
    Reading raises ElfError when the original is shorter than it was when the plan was made.
    """
    return cast(BinaryIO, _Stripped(stream, plan))


class _Stripped(io.BufferedIOBase):
    def __init__(self, stream: BinaryIO, plan: Plan) -> None:
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


def _chunks(stream: BinaryIO, plan: Plan) -> Iterator[bytes]:
    """Yield the result; its end only after the end of the original was read."""
    position = 0
    held = b""

    def read(end: int) -> Iterator[bytes]:
        nonlocal position
        while position < end:
            data = stream.read(min(_CHUNK, end - position))
            if not data:
                raise ElfError("the file is shorter than it was when its strip was planned")
            position += len(data)
            yield data

    def made() -> Iterator[bytes]:
        for piece in plan.pieces:
            if isinstance(piece, Copy):
                for _ in read(piece.offset):
                    pass
                yield from read(piece.offset + piece.length)
            elif isinstance(piece, Literal):
                yield piece.data
            else:
                for start in range(0, piece.length, _CHUNK):
                    yield bytes(min(_CHUNK, piece.length - start))

    for data in filter(None, made()):
        if held:
            yield held
        held = data
    for _ in read(plan.size):
        pass
    yield held
