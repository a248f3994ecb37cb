"""Order of Debian package versions.

Debian Policy 5.6.12: ``[epoch:]upstream[-revision]``. Epochs compare as
numbers, the other two by turns of non-digits (letters before everything else,
``~`` before even the end) and of digits (as numbers, missing as zero).
"""

from __future__ import annotations

import re
from functools import total_ordering

_VERSION = re.compile(r"(?:(\d+):)?([A-Za-z0-9.+~-]+?)(?:-([A-Za-z0-9.+~]+))?")
_TURN = re.compile(r"(\D*)(\d*)")
_END = 0

Key = tuple[tuple[tuple[int, ...], int], ...]


@total_ordering
class Version:
    """A version that compares as dpkg compares it; ValueError when it is none."""

    __slots__ = ("_key", "epoch", "revision", "text", "upstream")

    def __init__(self, text: str) -> None:
        match = _VERSION.fullmatch(text)
        if match is None or not match[2][0].isalnum() or match[2].endswith("-"):
            raise ValueError(f"not a Debian version: {text!r}")
        self.text = text
        self.epoch = int(match[1] or 0)
        self.upstream = match[2]
        self.revision = match[3] or ""
        # A missing revision is the same as 0.
        self._key = (self.epoch, _key(self.upstream), _key(self.revision or "0"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


def _key(part: str) -> Key:
    """Turn one part into tuples that Python compares as the policy says."""
    turns = [
        ((*(_weight(char) for char in text), _END), int(digits or 0))
        for text, digits in _TURN.findall(part)
    ]
    # findall ends with an empty match, so a part that is the start of another
    # meets the end marker and zero there, exactly as the policy has it.
    return tuple(turns)


def _weight(char: str) -> int:
    """Order of a non-digit: ``~``, the end, letters, the rest."""
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256
