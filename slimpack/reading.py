"""Streams that check what passes through them.

A layer is written in one pass; whatever must look at every byte looks while it
is read, so that no file is read twice.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
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


def watched(
    entry: Entry, watch: Callable[[Entry], tuple[Callable[[bytes], None], Callable[[], None]]]
) -> Entry:
    """Return the entry with a content that is watched each time it is read."""
    opener = entry.opener
    assert opener is not None

    def open_watched() -> BinaryIO:
        see, end = watch(entry)
        return cast(BinaryIO, WatchedStream(opener(), entry.size, see, end))

    return replace(entry, opener=open_watched)


def verified(entry: Entry, sha256: str) -> Entry:
    """Return the entry with a content that raises RelocationError unless it has that SHA-256."""
    known = replace(entry, identity=content_identity(sha256))
    return _held(
        known,
        lambda: RelocationError(
            f"/{entry.path} of package {entry.owner} does not have the SHA-256 that its "
            "package declares",
            hint="its package cache entry is damaged: remove it and build again",
        ),
    )


def unchanging(entry: Entry) -> Entry:
    """Return a file of the user's with an identity; reading it raises InputError if it changed."""
    if entry.opener is None:
        return entry
    return _held(
        identified(entry),
        lambda: InputError(
            f"/{entry.path} changed while it was packed", hint="build again when nobody writes it"
        ),
    )


def _held(entry: Entry, error: Callable[[], Exception]) -> Entry:
    """Return an entry whose content must be that of its identity, a SHA-256."""

    def watch(entry: Entry) -> tuple[Callable[[bytes], None], Callable[[], None]]:
        digest = hashlib.sha256()

        def end() -> None:
            if content_identity(digest.hexdigest()) != entry.identity:
                raise error()

        return digest.update, end

    return watched(entry, watch)
