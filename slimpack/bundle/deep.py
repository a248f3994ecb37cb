"""Unpacking the layers of a bundle while they come by, to see that they are what images say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from slimpack.bundle.findings import Findings
from slimpack.bundle.model import Statement
from slimpack.bundle.needs import Kept
from slimpack.errors import ImageError
from slimpack.oci.decompress import MAX_UNPACKED, decompress
from slimpack.oci.digest import ByteStream
from slimpack.oci.untar import TarReader

_MOST = 16 * MAX_UNPACKED
"""Bytes that all layers together may unpack to."""


class Unpacking(Kept):
    """A witness that also unpacks each layer. unpacked: digest of its tar, by its own.

    Nothing is written, and memory stays bounded. A layer that cannot be unpacked, or whose
    tar is none that an engine would take, is a finding.
    """

    def __init__(self, statement: Statement, findings: Findings) -> None:
        super().__init__(statement)
        self.unpacked: dict[str, str] = {}
        self._findings = findings
        self._left = _MOST

    def reader(self, path: str) -> Callable[[ByteStream], None] | None:
        """Return what unpacks the layer at `path`, None for what is no layer."""
        digest = self._digests.get(path)
        if digest not in self.layers:
            return None
        return lambda stream: self._unpack(path, digest, stream)

    def _unpack(self, path: str, digest: str, stream: ByteStream) -> None:
        limit = min(self._left, MAX_UNPACKED)
        hashed = _Hashed(decompress(stream, limit=limit))
        try:
            tar = TarReader(hashed, "its tar")
            for _ in tar:
                pass
            tar.drain()
        except ImageError as error:
            self._findings.add("image", f"it does not unpack: {error.message}", path)
        else:
            self.unpacked[digest] = hashed.digest
        self._left -= hashed.size


class _Hashed:
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def close(self) -> None:
        self._stream.close()
