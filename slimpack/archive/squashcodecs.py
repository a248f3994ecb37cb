"""Unpacking single blocks of squashfs, with a limit on what comes out."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable

import zstandard

from slimpack.errors import ArchiveError

_XZ_MEMORY = 256 << 20
_Decode = Callable[[bytes, int], bytes]
_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, ValueError)


def block_decoder(codec: int, what: str) -> Callable[[bytes, int], bytes]:
    """Return the function that unpacks a block to at most so many bytes.

    codec: as in the superblock. The function and this one raise ArchiveError, naming
    `what`, for a compressor that is not supported and for a block that is damaged or grows.
    """
    decode = _CODECS.get(codec)
    if decode is None:
        raise ArchiveError(
            f"{what} is compressed in a way that is not supported",
            hint="make it again with -comp zstd, gzip or xz",
        )

    def unpack(data: bytes, limit: int) -> bytes:
        try:
            unpacked = decode(data, limit)
        except _ERRORS as error:
            raise ArchiveError(f"{what} is damaged: {error}", hint="fetch it again") from error
        if len(unpacked) > limit:
            raise ArchiveError(f"{what} is damaged: a block unpacks to more than it may")
        return unpacked

    return unpack


def _zlib(data: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj()
    unpacked = decoder.decompress(data, limit + 1)
    if not decoder.eof and len(unpacked) <= limit:
        raise EOFError("a block is cut off")
    return unpacked


def _xz(data: bytes, limit: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    unpacked = decoder.decompress(data, limit + 1)
    if not decoder.eof and len(unpacked) <= limit:
        raise EOFError("a block is cut off")
    return unpacked


def _zstd(data: bytes, limit: int) -> bytes:
    # A size in the frame is believed before a limit is looked at.
    size = zstandard.get_frame_parameters(data).content_size
    if size != zstandard.CONTENTSIZE_UNKNOWN and size > limit:
        raise ValueError("a block unpacks to more than it may")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)


_CODECS: dict[int, _Decode] = {1: _zlib, 4: _xz, 6: _zstd}
