"""CRC-64 of ISO 3309, as Go's ``crc64.ISO`` has it, at the speed of large integers.

Its polynomial is x^64 + x^4 + x^3 + x + 1. Squaring keeps the number of terms, so
x^(64s) is x^(4s) + x^(3s) + x^s + 1 for every power s of 2: a long message is halved with
four shifts, again and again. No library of Python's has this sum, and a loop over bytes
would take minutes for a layer.
"""

from __future__ import annotations

_ONES = (1 << 64) - 1
_TAIL = 0xD800000000000000  # x^4 + x^3 + x + 1, the first bit being the highest power


class Crc64:
    """The sum of what was given so far."""

    def __init__(self) -> None:
        self._state = _ONES

    def update(self, data: bytes) -> None:
        """Take more bytes; a MiB takes some six milliseconds."""
        bits = 8 * len(data) + 64
        # Bit 0 is the highest power; 64 zeros follow the message.
        value = int.from_bytes(data, "little") ^ self._state
        step = 1 << max(0, (bits // 124).bit_length() - 1)
        while step:
            cut, mask = 60 * step, (1 << 60 * step) - 1
            while bits >= 124 * step:
                head = value & mask
                value = (value >> cut) ^ head ^ head << step ^ head << 3 * step ^ head << 4 * step
                bits -= cut
            step >>= 1
        for _ in range(bits - 64):
            value = value >> 1 ^ (_TAIL if value & 1 else 0)
        self._state = value

    def digest(self) -> bytes:
        """Return the sum in eight bytes, the highest first."""
        return (self._state ^ _ONES).to_bytes(8, "big")
