"""Reading tar archives, compressed or not, from a stream."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Protocol

from slimpack.archive.formats import Codec
from slimpack.archive.items import Item, Items
from slimpack.errors import ArchiveError
from slimpack.oci.decompress import decompress
from slimpack.oci.digest import CHUNK, ByteStream
from slimpack.oci.untar import TarReader

_XZ_MEMORY = 256 << 20  # xz -9 needs 65 MB; a header that asks for more is an attack
_PIECE = 64 << 10


def tar_items(stream: ByteStream, codec: Codec, what: str, *, limit: int) -> Items:
    """Yield the members of the tar that `stream` holds, compressed as `codec` says.

    Raises ImageError or ArchiveError, naming `what`, for damaged, truncated and
    trailing data and after `limit` bytes of tar. Memory is bounded.
    """
    plain: ByteStream
    if codec in _DECODERS:
        plain = _BlockReader(stream, _DECODERS[codec], what, limit)
    else:
        plain = decompress(stream, limit=limit, what=what)
    reader = TarReader(plain, what)
    for member in reader:
        item = Item(
            name=member.name,
            kind=member.kind,
            mode=member.mode,
            mtime=member.mtime,
            size=member.size,
            link=member.link,
        )
        yield item, iter(lambda: reader.read(CHUNK), b"")
    reader.finish()


class _BlockReader:
    """Decompresses xz or bzip2, stream after stream, at most a MiB at a time."""

    def __init__(
        self, source: ByteStream, decoder: Callable[[], _Decoder], what: str, limit: int
    ) -> None:
        self._source = source
        self._make = decoder
        self._what = what
        self._limit = self._left = limit
        self._decoder: _Decoder | None = None
        self._packed = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, b"" at the end; all that is left for -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        try:
            data = self._some(min(size, CHUNK)) if size else b""
        except (lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise ArchiveError(f"{self._what} is damaged: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(
                f"{self._what} unpacks to more than the {self._limit} bytes allowed",
                hint="this looks like a decompression bomb",
            )
        return data

    def close(self) -> None:
        self._source.close()

    def _some(self, size: int) -> bytes:
        while True:
            if self._decoder is None and not self._begin():
                return b""
            decoder = self._decoder
            assert decoder is not None
            if decoder.needs_input and not self._packed:
                self._packed = self._source.read(_PIECE)
                if not self._packed:
                    raise EOFError("it is cut off")
            data = decoder.decompress(self._packed, size)
            self._packed = b""
            if decoder.eof:
                self._packed, self._decoder = decoder.unused_data, None
            if data:
                return data

    def _begin(self) -> bool:
        # The .xz format, 2.2, allows zeros between and after its streams.
        while not self._packed.lstrip(b"\0"):
            self._packed = self._source.read(_PIECE)
            if not self._packed:
                return False
        self._packed = self._packed.lstrip(b"\0")
        self._decoder = self._make()
        return True


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
}
