"""The body of an upload: it tells how far it is, and stops when asked to."""

from __future__ import annotations

from collections.abc import Callable

from slimpack.errors import ImageError
from slimpack.oci.digest import ByteStream
from slimpack.registry.retry import Retry

Advance = Callable[[int], object]


class Told:
    """Passes progress on, without what an earlier try has told already."""

    def __init__(self, advance: Advance | None) -> None:
        self._advance = advance
        self._most = 0

    @property
    def begun(self) -> bool:
        """Whether any byte was told of."""
        return self._most > 0

    def reach(self, done: int) -> None:
        """Say that `done` bytes of the whole are done."""
        if self._advance is not None and done > self._most:
            self._advance(done - self._most)
        self._most = max(self._most, done)


class Outgoing:
    """A stream of exactly `size` bytes on its way to a registry.

    Raises StoppedError once nobody wants it any more, and ImageError for a stream
    of another length: a request must have what it announced.
    """

    def __init__(self, stream: ByteStream, size: int, told: Told, retry: Retry, what: str) -> None:
        self._stream = stream
        self._left = size
        self._size = size
        self._told = told
        self._retry = retry
        self._what = what

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        self._retry.check()
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0 or (self._left and size and not data):
            raise ImageError(f"{self._what} has not the {self._size} bytes that it declares")
        self._told.reach(self._size - self._left)
        return data

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()
