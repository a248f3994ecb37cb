"""How many blocks a piece of a zstd stream begins, which bounds what it can become.

Format: RFC 8878, 3.1.1 (frames, block headers) and 3.1.2 (skippable frames). A block becomes at
most 128 KiB, and takes 4 bytes at least.
"""

from __future__ import annotations

MAX_BLOCK = 128 << 10
UNKNOWN = 1 << 30
"""More blocks than any piece has: for what is no zstd."""

_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50  # to 0x184D2A5F
_RLE = 1
_DICTIONARY_ID = (0, 1, 2, 4)  # bytes, by the last two bits of the frame's descriptor
_CONTENT_SIZE = (0, 2, 4, 8)  # bytes, by the first two; one byte in a single segment for 0


def is_zstd(head: bytes) -> bool:
    """Tell from its first four bytes, or more, whether a stream begins with a frame."""
    magic = int.from_bytes(head[:4], "little")
    return magic == _MAGIC or _is_skippable(magic)


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
        data, at, found = self._held + piece, 0, 0
        while not self._lost:
            step = min(self._skip, len(data) - at)
            at, self._skip = at + step, self._skip - step
            if self._skip:
                break
            block = self._inside
            size = (self._block if block else self._frame)(data[at : at + 8])
            if not size:
                break
            at, found = at + size, found + block
        self._held = data[at:]
        return UNKNOWN if self._lost else found

    def _block(self, head: bytes) -> int:
        """Take a block's header; return its size, 0 unless it is whole."""
        if len(head) < 3:
            return 0
        bits = int.from_bytes(head[:3], "little")
        self._skip = 1 if bits >> 1 & 3 == _RLE else bits >> 3
        if bits & 1:  # the last one
            self._inside = False
            self._skip += self._checksum
        return 3

    def _frame(self, head: bytes) -> int:
        """Take the header of a frame; return the size of what was looked at, as `_block` does."""
        if len(head) < 8:  # no frame is shorter: 6 of its header, at least, and a block's
            return 0
        magic = int.from_bytes(head[:4], "little")
        if _is_skippable(magic):
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


def _is_skippable(magic: int) -> bool:
    return magic & ~0xF == _SKIPPABLE
