"""Which compressor made a blob, if it is one of ours."""

from __future__ import annotations

from contextlib import closing

import zstandard

from slimpack.oci.compress import LEVELS, Compression, Kind, chosen, zstd_parameters
from slimpack.oci.digest import CHUNK, ByteStream
from slimpack.oci.estargz import TOC_DIGEST
from slimpack.oci.layer import LAYER_TYPES, Layer
from slimpack.oci.zstdchunked import MANIFEST_CHECKSUM
from slimpack.patch.spool import Spool

_KINDS: dict[str, Kind] = dict(zip(LAYER_TYPES, ("none", "gzip", "zstd"), strict=True))


class _DifferentError(Exception):
    """The compressor gave other bytes than those of the blob."""


def find_compression(layer: Layer, tar: Spool) -> Compression | None:
    """Return a compression that makes the blob of `layer` of its `tar`, or None.

    The kind's usual level is tried first. A wrong level is given up after the first MiB.
    Layers in pieces (`slimpack.oci.toc`) are told by what their readers need, and not tried.
    """
    if layer.annotations.keys() & {TOC_DIGEST, MANIFEST_CHECKSUM}:
        return None
    kind = _KINDS[layer.media_type]
    usual = chosen(kind, None).level
    for level in sorted(LEVELS[kind], key=lambda level: (level != usual, level)):
        compression = Compression(kind, level)
        if _begins_alike(layer, tar, compression) and _makes(layer, tar, compression):
            return compression
    return None


def _begins_alike(layer: Layer, tar: Spool, compression: Compression) -> bool:
    """Compare what zstd makes of the first MiB with the blob; other kinds are compared as a whole.

    A job of zstd's workers is the same whatever follows, so that a shorter one gives the
    beginning of a longer one.
    """
    if compression.kind != "zstd" or tar.size <= CHUNK:
        return True
    parameters = zstd_parameters(compression.level, tar.size, 1, job_size=CHUNK)
    begin = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=tar.size)
    packed = begin.compress(tar.read(0, CHUNK)) + begin.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    with closing(layer.open()) as blob:
        return _read(blob, len(packed)) == packed


def _makes(layer: Layer, tar: Spool, compression: Compression) -> bool:
    with closing(layer.open()) as blob:
        comparing = _Comparing(blob)
        try:
            with compression.writer(comparing, tar.size) as packer:
                for data in tar.pieces(0, tar.size):
                    packer.write(data)
        except _DifferentError:
            return False
        return not blob.read(1)


class _Comparing:
    """Takes bytes that must be those of `blob`."""

    def __init__(self, blob: ByteStream) -> None:
        self._blob = blob

    def write(self, data: bytes, /) -> int:
        if _read(self._blob, len(data)) != data:
            raise _DifferentError
        return len(data)


def _read(stream: ByteStream, size: int) -> bytes:
    data = stream.read(size)
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data
