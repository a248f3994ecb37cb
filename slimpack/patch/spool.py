"""Tars of layers, unpacked to disk, so that any part of them can be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from slimpack.closing import Closing
from slimpack.errors import ImageError
from slimpack.files import explained
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import CHUNK, chunks
from slimpack.oci.layer import Layer


class Spool(Closing):
    """An unnamed file in `scratch` that is written once, then read anywhere.

    It has no name, so that nothing is left of it whatever ends the process. Raises
    SlimpackError when the disk is full.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        with explained(scratch):
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=scratch, buffering=0)  # noqa: SIM115
        self.size = 0

    def write(self, data: bytes, /) -> int:
        """Append `data`."""
        rest = memoryview(data)
        with explained(self._scratch):
            while rest:
                rest = rest[self._file.write(rest) :]
        self.size += len(data)
        return len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on. Raises ImageError where there are none."""
        parts: list[bytes] = []
        while size:
            try:
                data = os.pread(self._file.fileno(), size, offset)
            except OSError as error:
                raise ImageError(f"cannot read {self._scratch}: {error.strerror}") from error
            if not data:
                raise ImageError("a patch reads beyond the end of a layer")
            parts.append(data)
            offset, size = offset + len(data), size - len(data)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield the same in pieces of 1 MiB."""
        end = offset + size
        for at in range(offset, end, CHUNK):
            yield self.read(at, min(CHUNK, end - at))

    def stream(self) -> SpoolStream:
        """Open the whole for reading."""
        return SpoolStream(self)

    def close(self) -> None:
        """Free its space."""
        self._file.close()


class SpoolStream:
    """Reads a spool from its beginning to its end; the spool stays open."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, everything if negative; b"" at the end."""
        left = self._spool.size - self._at
        data = self._spool.read(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def skip(self, size: int) -> int:
        """Jump over up to `size` bytes; return how many there were."""
        size = min(size, self._spool.size - self._at)
        self._at += size
        return size

    def close(self) -> None:
        """Do nothing."""


def spool_tar(layer: Layer, scratch: Path, *, size: int | None = None) -> Spool:
    """Unpack the tar of `layer` to disk, verified.

    size: bytes that it must have, where that is known from elsewhere.
    """
    if size is not None:
        if layer.unpacked_size not in (None, size):
            raise ImageError(
                f"layer {layer.digest} unpacks to {layer.unpacked_size} bytes, and not to {size}"
            )
        layer = replace(layer, unpacked_size=size)
    limit = MAX_UNPACKED if layer.unpacked_size is None else layer.unpacked_size
    spool = Spool(scratch)
    try:
        with closing(layer.open_tar(limit=limit)) as tar:
            for data in chunks(tar):
                spool.write(data)
    except BaseException:
        spool.close()
        raise
    return spool
