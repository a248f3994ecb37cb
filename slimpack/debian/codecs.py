"""Streaming decompression with a limit, for data that is not trusted yet."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

import zstandard

_CHUNK = 1 << 20
# xz -9 needs 65 MB to unpack; a header that asks for gigabytes is an attack.
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 1 << 27
# Four bytes can stand for a block of 128 KiB, and all that one input gives comes
# at once: small inputs keep that below 16 MiB.
_ZSTD_INPUT = 512


class CodecError(ValueError):
    """The data does not unpack, or unpacks to more than was allowed."""


def decompressed(source: BinaryIO, kind: str, limit: int) -> Iterator[bytes]:
    """Yield the content of `source`, packed as `kind` ("", "gz", "xz" or "zst").

    Raises CodecError for damaged data and as soon as `limit` bytes are passed.
    """
    try:
        decode = DECODERS[kind]
    except KeyError:
        raise CodecError(f"compression {kind!r} is not supported") from None
    total = 0
    try:
        for chunk in decode(source):
            total += len(chunk)
            if total > limit:
                raise CodecError(f"unpacks to more than the {limit} bytes allowed")
            yield chunk
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise CodecError(f"damaged {kind} data: {error}") from error


def _plain(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


def _xz(source: BinaryIO) -> Iterator[bytes]:
    data = source.read(_CHUNK)
    while data:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = source.read(_CHUNK)
                if not data:
                    raise CodecError("the xz data ends too early")
            chunk = decoder.decompress(data, _CHUNK)
            data = b""
            if chunk:
                yield chunk
        # Streams may follow each other, padded with zeros (the .xz format, 2.2).
        data = (decoder.unused_data or source.read(_CHUNK)).lstrip(b"\0")


def _gzip(source: BinaryIO) -> Iterator[bytes]:
    data = source.read(_CHUNK)
    while data:
        decoder = zlib.decompressobj(wbits=31)
        while not decoder.eof:
            if not data:
                data = source.read(_CHUNK)
                if not data:
                    raise CodecError("the gzip data ends too early")
            chunk = decoder.decompress(data, _CHUNK)
            data = decoder.unconsumed_tail
            if chunk:
                yield chunk
        data = decoder.unused_data or source.read(_CHUNK)


def _zstd(source: BinaryIO) -> Iterator[bytes]:
    # Not stream_reader: it takes data that was cut off for the end.
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    data = source.read(_ZSTD_INPUT)
    while data:
        decoder = context.decompressobj()
        while not decoder.eof:
            if not data:
                data = source.read(_ZSTD_INPUT)
                if not data:
                    raise CodecError("the zstd data ends too early")
            chunk = decoder.decompress(data)
            data = b""
            if chunk:
                yield chunk
        data = decoder.unused_data or source.read(_ZSTD_INPUT)


DECODERS: Mapping[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    "": _plain,
    "gz": _gzip,
    "xz": _xz,
    "zst": _zstd,
}
