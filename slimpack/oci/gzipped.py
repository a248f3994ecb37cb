"""gzip, made in threads, and as reproducible as what goes in (RFC 1951, RFC 1952).

The header has no time, no name and no operating system.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from slimpack.errors import ImageError
from slimpack.oci.digest import CHUNK, Writable

_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"  # no flags, mtime 0, unknown OS


class GzipWriter:
    """Deflates blocks of 1 MiB in threads, each primed with the 32 KiB before it, as pigz does.

    The blocks are cut by position alone, so that threads do not change the bytes.
    """

    def __init__(self, out: Writable, level: int, threads: int) -> None:
        self._out = out
        self._level = level
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._jobs: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._before = b""
        self._crc = 0
        self._size = 0
        out.write(_HEADER)

    def write(self, data: bytes, /) -> int:
        """Take `data`; what is ready goes out."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._block += data
        while len(self._block) > CHUNK:  # the last block is never empty, unless all is
            self._submit(bytes(self._block[:CHUNK]), last=False)
            del self._block[:CHUNK]
        return len(data)

    def finish(self, size: int) -> None:
        """Write the rest and the end; ImageError unless `size` bytes were written."""
        if self._size != size:
            raise ImageError(f"gzip was promised {size} bytes of a layer and got {self._size}")
        self._submit(bytes(self._block), last=True)
        while self._jobs:
            self._out.write(self._jobs.popleft().result())
        self._out.write(struct.pack("<II", self._crc, size & 0xFFFFFFFF))

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, block: bytes, *, last: bool) -> None:
        self._jobs.append(self._pool.submit(deflate, block, self._before, self._level, last))
        self._before = block[-(32 << 10) :]
        if len(self._jobs) > 2 * self._threads:
            self._out.write(self._jobs.popleft().result())


def deflate(block: bytes, before: bytes, level: int, last: bool) -> bytes:
    """Return one block of a raw deflate stream (RFC 1951), primed with the 32 KiB before it."""
    packer = zlib.compressobj(
        level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, before
    )
    return packer.compress(block) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def gzip_member(data: bytes, level: int) -> bytes:
    """Return a gzip member of its own, with the header that all of ours have."""
    end = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return _HEADER + deflate(data, b"", level, last=True) + end
