"""Bytes for generated packages: cheap to make, the same every time, and like real files to zstd.

Seven eighths of a file are words of a small language, which zstd level 9 brings to a quarter; the
rest is noise. Nothing comes back within a compressor's window (8 MB at level 19), so that no
level finds more than what is in the mix, and no two files are the same, so that none becomes a
hard link.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

_TEXT_BYTES = 12 << 20
_NOISE_BYTES = 4 << 20
_NOISE_SHARE = 8  # one byte of so many
_WORDS = 4096


class Content:
    """Gives one file after another. Reading goes around two long tapes, text and noise."""

    def __init__(self, seed: int = 1) -> None:
        chance = random.Random(seed)
        self._text = _Tape(_text(chance, _TEXT_BYTES))
        self._noise = _Tape(chance.randbytes(_NOISE_BYTES))
        self._number = 0

    def file(self, size: int) -> bytes:
        """Return about `size` bytes, at least its number in a line."""
        self._number += 1
        head = b"# file %d\n" % self._number
        noise = size // _NOISE_SHARE
        text = max(0, size - noise - len(head))
        return head + self._text.read(text) + self._noise.read(noise)

    def module(self, size: int) -> bytes:
        """Return a Python module of about `size` bytes: functions with words in them."""
        self._number += 1
        parts = [f'"""Module {self._number}."""\n'.encode()]
        length = len(parts[0])
        for number in range(size):
            words = self._text.read(160).decode("ascii").split()[1:-1]
            name, *rest = words
            lines = (
                f"\n\ndef {name}_{number}(first, second={len(rest)}):",
                f"    {' '.join(rest)!r}",
                f"    names = {rest[:8]!r}",
                f"    return [first, second, *names][{number % 3}]",
            )
            parts.append("\n".join(lines).encode())
            length += len(parts[-1])
            if length >= size:
                break
        return b"".join(parts) + b"\n"


class _Tape:
    """Bytes that begin again at their end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        parts = []
        while size:
            part = self._data[self._place : self._place + size]
            parts.append(part)
            size -= len(part)
            self._place = (self._place + len(part)) % len(self._data)
        return b"".join(parts)


def _text(chance: random.Random, size: int) -> bytes:
    words = list(_words(chance))
    # As often as in real languages.
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    found: list[str] = []
    length = 0
    while length < size:
        line = " ".join(chance.choices(words, cum_weights=weights, k=4000))
        found.append(line)
        length += len(line) + 1
    return " ".join(found).encode("ascii")[:size]


def _words(chance: random.Random) -> Iterator[str]:
    known: set[str] = set()
    while len(known) < _WORDS:
        # Never a keyword of Python: these have no q in them.
        word = "q" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9)))
        if word not in known:
            known.add(word)
            yield word
