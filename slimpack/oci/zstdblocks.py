"""How many blocks a piece of a zstd stream begins, which bounds what it can become.

Format: RFC 8878, 3.1.1 (frames, block headers) and 3.1.2 (skippable frames). A block becomes at
most 128 KiB, and takes 4 bytes at least.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_BLOCK = 128 << 10
UNKNOWN = 1 << 30
"""More blocks than any piece has: for what is no zstd."""

_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50  # to 0x184D2A5F
_RLE = 1
_DICTIONARY_ID = (0, 1, 2, 4)  # bytes, by the last two bits of the frame's descriptor
_CONTENT_SIZE = (0, 2, 4, 8)  # bytes, by the first two; one byte in a single segment for 0


class BlockCounter:
    """Is given a stream piece by piece, wherever they are cut, and steps from block to block."""

    def __init__(self) -> None:
        self._held = b""  # a header that is not whole
        self._skip = 0  # bytes until the next header
        self._inside = False  # of a frame: a block comes next
        self._checksum = 0  # bytes of it behind the frame's last block
        self._lost = False

    def count(self, piece: bytes) -> int:
        """Return how many blocks begin in the next piece, `UNKNOWN` from what is no zstd on."""
        found = sum(self._steps(self._held + piece))
        return UNKNOWN if self._lost else found

    def _steps(self, data: bytes) -> Iterator[bool]:
        """Go from header to header; yield for each whether a block begins there."""
        at = 0
        while not self._lost:
            step = min(self._skip, len(data) - at)
            at, self._skip = at + step, self._skip - step
            size = 0 if self._skip else self._header(data[at : at + 8])
            if not size:
                break
            yield size == 3
            at += size
        self._held = data[at:]

    def _header(self, head: bytes) -> int:
        """Take the header of a block or a frame; return its size, 0 unless it is whole."""
        return self._block(head) if self._inside else self._frame(head)

    def _block(self, head: bytes) -> int:
        if len(head) < 3:
            return 0
        bits = int.from_bytes(head[:3], "little")
        self._skip = 1 if bits >> 1 & 3 == _RLE else bits >> 3
        if bits & 1:  # the last one
            self._inside = False
            self._skip += self._checksum
        return 3

    def _frame(self, head: bytes) -> int:
        if len(head) < 8:  # no frame is shorter: 6 of its header, at least, and a block's
            return 0
        magic = int.from_bytes(head[:4], "little")
        if magic & ~0xF == _SKIPPABLE:
            self._skip = int.from_bytes(head[4:], "little")
            return 8
        if magic != _MAGIC:
            self._lost = True
            return 0
        descriptor = head[4]
        single = descriptor >> 5 & 1
        sizes = _DICTIONARY_ID[descriptor & 3] + _CONTENT_SIZE[descriptor >> 6]
        self._skip = sizes + (descriptor < 1 << 6 if single else 1)
        self._checksum = 4 if descriptor & 4 else 0
        self._inside = True
        return 5
