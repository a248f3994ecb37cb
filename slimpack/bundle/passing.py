"""Bytes that come by once: a file, a pipe, or volumes one behind the other.

Slow media are read from the beginning to the end, and nothing is read twice. What is known to
be lost (a volume that is not there) keeps its place, so that all behind it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Update = Callable[[memoryview], object]
Piece = bytes | int
"""Bytes, or a number of bytes that are lost."""
Range = tuple[int, int]
"""Where something begins, and where what follows does, in bytes."""


class Passing:
    """A stream that knows where it is.

    pieces: in their order. lost: where the lost ones are, known in advance.
    """

    def __init__(self, pieces: Iterator[Piece], lost: Sequence[Range] = ()) -> None:
        self.position = 0
        self._pieces = pieces
        self._lost = lost
        self._waiting: list[memoryview] = []  # the last one comes first
        self._hole = 0  # lost bytes behind them

    def lost(self, begin: int, end: int) -> bool:
        """Tell whether a byte from `begin` on and before `end` is lost."""
        return any(a < end and begin < b for a, b in self._lost)

    def feed(self, size: int, *updates: Update) -> int:
        """Give the next `size` bytes to each of `updates`; return how many there were.

        Lost ones count, and are not given. Nothing that is given may be kept.
        """
        left = size
        while left:
            data, count = self._take(left)
            if not count:
                break
            if data:
                for update in updates:
                    update(data)
            left -= count
        return size - left

    def skip(self, size: int) -> int:
        """Let up to `size` bytes pass; return how many there were."""
        return self.feed(size)

    def some(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end; zeros stand for lost ones."""
        data, count = self._take(size)
        return bytes(data) if data else bytes(count)

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end; zeros stand for lost ones."""
        found = self.some(size)
        if len(found) == size:
            return found
        parts = [found]
        left = size - len(found)
        while left and (data := self.some(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def unread(self, data: bytes) -> None:
        """Take back what was read last."""
        if data:
            self._waiting.append(memoryview(data))
            self.position -= len(data)

    def _take(self, most: int) -> tuple[memoryview, int]:
        """Return up to `most` bytes, and how many they are: with none, so many are lost."""
        if not self._waiting and not self._hole:
            piece = next(self._pieces, b"")
            if isinstance(piece, int):
                self._hole = piece
            elif piece:
                self._waiting.append(memoryview(piece))
        if self._waiting:
            data = self._waiting.pop()
            if len(data) > most:
                self._waiting.append(data[most:])
                data = data[:most]
            self.position += len(data)
            return data, len(data)
        count = min(most, self._hole)
        self._hole -= count
        self.position += count
        return memoryview(b""), count
