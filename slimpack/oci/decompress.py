"""Bounded decompression of what others have compressed."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import cast

import zstandard

from slimpack.errors import ImageError
from slimpack.oci.compress import Kind
from slimpack.oci.digest import CHUNK, ByteStream
from slimpack.oci.zstdblocks import BlockCounter, is_zstd

MAX_UNPACKED = 64 << 30
"""Bytes after which decompression of one layer stops unless told otherwise."""

_MAX_WINDOW = 128 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def sniff(head: bytes) -> Kind:
    """Tell the compression of a stream from its first four bytes or more."""
    if is_zstd(head):
        return "zstd"
    return "gzip" if head[:2] == _GZIP_MAGIC else "none"


def decompress(stream: ByteStream, *, limit: int = MAX_UNPACKED, what: str = "layer") -> ByteStream:
    """Return the decompressed content of `stream`, whose kind is told by its first bytes.

    zstd may have several frames and skippable ones, gzip several members. Memory
    stays bounded whatever the input. Reading raises ImageError, naming `what`, for
    damaged or truncated input and after more than `limit` bytes. Closing closes
    `stream`.
    """
    head = stream.read(4)
    while len(head) < 4 and (more := stream.read(4 - len(head))):
        head += more
    source = _Prepended(head, stream)
    kind = sniff(head)
    inner: ByteStream = source
    if kind == "zstd":
        inner = _ZstdReader(source)
    elif kind == "gzip":
        inner = gzip.GzipFile(fileobj=cast("io.BytesIO", source), mode="rb")
    return _BoundedReader(inner, source, limit, what)


class _Prepended:
    """A stream whose first bytes were already read."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        if size < 0:
            size = len(self._head)
        data, self._head = self._head[:size], self._head[size:]
        return data

    def close(self) -> None:
        self._stream.close()


class _ZstdReader:
    """Reads frame after frame; python-zstandard's own reader takes a cut-off one for whole."""

    # A block of 4 bytes can become 128 KiB. What has few blocks is decompressed as it was read;
    # of what has many, so little at once that it gives at most 32 MiB.
    _PIECE = 1024
    _READ, _FEW = 64 * _PIECE, 64
    # Of a buffer for each piece; glibc maps one of 128 KiB, the default, anew each time.
    _BUFFER = 64 << 10

    def __init__(self, source: ByteStream) -> None:
        self._source = source
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""  # what was read; from `_at` on not yet given to a frame
        self._at = 0
        self._piece = self._PIECE
        self._blocks = BlockCounter()
        self._ready = bytearray()

    def read(self, size: int = -1, /) -> bytes:
        while len(self._ready) < size and self._fill():
            pass
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _fill(self) -> bool:
        if self._at >= len(self._packed):
            self._packed, self._at = self._source.read(self._READ), 0
            few = self._blocks.count(self._packed) <= self._FEW
            self._piece = self._READ if few else self._PIECE
        if not self._packed:
            if self._frame is not None:
                raise EOFError("a zstd frame is cut off")
            return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj(write_size=self._BUFFER)
        piece = self._packed[self._at : self._at + self._piece]
        self._at += len(piece)
        self._ready += self._frame.decompress(piece)
        if self._frame.eof:
            self._at -= len(self._frame.unused_data)
            self._frame = None
        return True

    def close(self) -> None:
        self._source.close()


class _BoundedReader:
    def __init__(self, inner: ByteStream, source: ByteStream, limit: int, what: str) -> None:
        self._inner = inner
        self._source = source
        self._left = limit
        self._limit = limit
        self._what = what

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        try:
            data = self._inner.read(min(size, CHUNK))
        except (zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError) as error:
            raise ImageError(f"{self._what} is damaged: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise ImageError(
                f"{self._what} unpacks to more than the {self._limit} bytes allowed",
                hint="this looks like a decompression bomb",
            )
        return data

    def close(self) -> None:
        self._inner.close()
        self._source.close()
