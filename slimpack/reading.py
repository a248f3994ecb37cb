"""Streams that check what passes through them.

A layer is written in one pass; whatever must look at every byte looks while it
is read, so that no file is read twice.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from slimpack.errors import InputError, RelocationError
from slimpack.tree import Entry, content_identity, identified

CHUNK = 1024 * 1024


class WatchedStream(io.BufferedIOBase):
    """Reads from `source`, shows each chunk to `see` and calls `end` once after the last.

    The last chunk is the one that completes `size` bytes, so that a reader who
    knows the size and never asks for the end of file does not escape `end`.
    """

    def __init__(
        self, source: BinaryIO, size: int, see: Callable[[bytes], None], end: Callable[[], None]
    ) -> None:
        self._source = source
        self._left = size
        self._see = see
        self._end = end
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, all of them when negative."""
        data = self._source.read(-1 if size is None else size)
        if data:
            self._see(data)
        self._left -= len(data)
        if not self._ended and (self._left <= 0 or not data):
            self._ended = True
            self._end()
        return data

    def close(self) -> None:
        """Close the source too."""
        self._source.close()
        super().close()


Watch = Callable[[Entry], tuple[Callable[[bytes], None], Callable[[], None]]]
"""Given an entry that is opened, what sees its chunks, and what is called after the last."""


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """Opens the content of an entry for somebody who watches it.

    There is one for each file of an environment, which may have a million: a closure would
    take six times the memory.
    """

    entry: Entry
    watch: Watch

    def __call__(self) -> BinaryIO:
        see, end = self.watch(self.entry)
        return cast(BinaryIO, WatchedStream(self.entry.open(), self.entry.size, see, end))


def watched(entry: Entry, watch: Watch) -> Entry:
    """Return the entry with a content that is watched each time it is read."""
    assert entry.opener is not None
    return replace(entry, opener=_Watched(entry, watch))


def verified(entry: Entry, sha256: str) -> Entry:
    """Return the entry with a content that raises RelocationError unless it has that SHA-256."""
    return watched(replace(entry, identity=content_identity(sha256)), _verify)


def unchanging(entry: Entry) -> Entry:
    """Return a file of the user's with an identity; reading it raises InputError if it changed."""
    return entry if entry.opener is None else watched(identified(entry), _hold)


def _verify(entry: Entry) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    return _held(
        entry,
        lambda: RelocationError(
            f"/{entry.path} of package {entry.owner} does not have the SHA-256 that its "
            "package declares",
            hint="its package cache entry is damaged: remove it and build again",
        ),
    )


def _hold(entry: Entry) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    return _held(
        entry,
        lambda: InputError(
            f"/{entry.path} changed while it was packed", hint="build again when nobody writes it"
        ),
    )


def _held(
    entry: Entry, error: Callable[[], Exception]
) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    """Watch a content that must be that of its entry's identity, a SHA-256."""
    digest = hashlib.sha256()

    def end() -> None:
        if content_identity(digest.hexdigest()) != entry.identity:
            raise error()

    return digest.update, end
