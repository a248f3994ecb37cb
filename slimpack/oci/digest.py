"""sha256 digests, and streams that compute or check them while bytes pass.

Format: OCI image-spec v1.1, descriptor.md, 'Digests'. Only ``sha256`` is
accepted: it is the one algorithm that every registry and engine supports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Protocol

from slimpack.closing import Closing
from slimpack.errors import ImageError

CHUNK = 1 << 20
"""Bytes moved at a time wherever content is streamed."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Writable(Protocol):
    """Something that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


class Nowhere:
    """Takes bytes and forgets them."""

    def write(self, data: bytes, /) -> None:
        """Forget `data`."""


class ByteStream(Protocol):
    """A readable stream of bytes that its user closes (any binary file is one)."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, everything if negative; b"" at the end."""

    def close(self) -> None:
        """Release what the stream holds."""


def sha256(data: bytes) -> str:
    """Return the digest of `data` as ``sha256:<64 lower-case hex digits>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def check_digest(digest: object, what: str) -> str:
    """Return `digest` if it is a sha256 digest; raise ImageError naming `what` otherwise."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ImageError(
            f"{what}: {str(digest)[:100]!r} is not a sha256 digest",
            hint="only sha256:<64 lower-case hex digits> is supported",
        )
    return digest


def hex_of(digest: str) -> str:
    """Return the hexadecimal part of a valid digest, the name of its blob file."""
    return digest.partition(":")[2]


def chunks(stream: ByteStream, size: int = CHUNK) -> Iterator[bytes]:
    """Yield what is left in `stream`, at most `size` bytes at a time."""
    return iter(lambda: stream.read(size), b"")


class HashingWriter:
    """Passes bytes on to `out` and keeps their digest and number."""

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        """Pass on `data`; return its length."""
        self._hash.update(data)
        self._out.write(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        """Digest of everything written so far."""
        return f"sha256:{self._hash.hexdigest()}"


class VerifyingReader(Closing):
    """Reads `stream` and raises ImageError if it is not what `digest` names.

    size: bytes that the stream must have, None when only the digest is known.
    The check happens with the read that gives the last byte (or the end), so a
    reader that took everything can trust it. `what` names the blob in messages.
    """

    def __init__(self, stream: ByteStream, digest: str, size: int | None, what: str) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._digest = digest
        self._expected = size
        self._what = what
        self._size = 0
        self._checked = False

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; b"" at the end, which has then been verified."""
        if size < 0:
            return b"".join(chunks(self))
        data = self._stream.read(size)
        self._hash.update(data)
        self._size += len(data)
        if self._expected is not None and self._size > self._expected:
            raise ImageError(f"{self._what} is longer than the {self._expected} bytes it declares")
        if size > 0 and not self._checked and (not data or self._size == self._expected):
            self._check()
        return data

    def _check(self) -> None:
        if self._expected is not None and self._size < self._expected:
            raise ImageError(f"{self._what} has {self._size} bytes, but declares {self._expected}")
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            raise ImageError(
                f"{self._what} does not match its digest: expected {self._digest}, found {found}",
                hint="the image was damaged or altered; fetch or build it again",
            )
        self._checked = True

    def close(self) -> None:
        """Close the stream below, without verifying what was not read."""
        self._stream.close()
