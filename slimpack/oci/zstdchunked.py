"""zstd:chunked: a zstd layer of which podman fetches the files that it does not have.

Format: containers/storage, docs/containers-storage-zstd-chunked.md and pkg/chunked. Behind
the frames of the tar come three that every decoder skips: the table of contents, tar-split
(`slimpack.oci.tarsplit`), both compressed, and a footer that tells where they are. Readers
take that from the annotations of the layer.

The tar is that of a plain zstd layer, unless a start's files come first.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import zstandard

from slimpack.oci.compress import Compression
from slimpack.oci.digest import HashingWriter, Nowhere, sha256
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.tar import END, Advance
from slimpack.oci.tarsplit import TarSplit
from slimpack.oci.toc import Table, cut, in_order, write_pieces
from slimpack.tree import Entry

MANIFEST_CHECKSUM = "io.github.containers.zstd-chunked.manifest-checksum"
MANIFEST_POSITION = "io.github.containers.zstd-chunked.manifest-position"
TARSPLIT_POSITION = "io.github.containers.zstd-chunked.tarsplit-position"
"""Annotations: of the compressed table its digest, and ``offset:size:unpacked size:1``; of
tar-split, whose digest the table has, ``offset:size:unpacked size``."""

_SKIPPABLE = b"\x50\x2a\x4d\x18"
_FOOTER = struct.Struct("<7Q8s")
_MAGIC = b"GnUlInUx"
_CRFS = 1  # the type of table that the format has


def write_zstd_chunked(
    members: Sequence[Entry],
    out: HashingWriter,
    *,
    compression: Compression,
    mtime: int,
    advance: Advance | None = None,
) -> Table:
    """Write `members` to `out` as a zstd:chunked layer.

    members: as `slimpack.oci.tar.with_parents` gives them. Raises ImageError as
    `slimpack.oci.toc.cut` does.
    """
    items: list[Object] = []
    split = TarSplit()
    packer = _Packer(compression.level)
    tar = HashingWriter(Nowhere())
    early, late = in_order(members, compression.first)
    write_pieces(
        cut([*early, *late], items, mtime=mtime, end=END, whole=False, witness=split),
        packer.pack,
        out,
        tar,
        threads=compression.workers,
        ends=True,
        advance=advance,
    )
    text = split.finish(END)
    recipe = packer.pack(text)
    table = canonical({"version": 1, "entries": items, "tarSplitDigest": sha256(recipe)})
    packed = packer.pack(table)
    at_table = _skippable(out, packed)
    at_recipe = _skippable(out, recipe)
    places = (at_table, len(packed), len(table), _CRFS, at_recipe, len(recipe), len(text))
    _skippable(out, _FOOTER.pack(*places, _MAGIC))
    return Table(
        diff_id=tar.digest,
        unpacked_size=tar.size,
        annotations={
            MANIFEST_CHECKSUM: sha256(packed),
            MANIFEST_POSITION: ":".join(map(str, places[:4])),
            TARSPLIT_POSITION: ":".join(map(str, places[4:])),
        },
    )


def _skippable(out: HashingWriter, data: bytes) -> int:
    """Write a frame that decoders skip; return where its content begins."""
    out.write(_SKIPPABLE + struct.pack("<I", len(data)))
    start = out.size
    out.write(data)
    return start


class _Packer:
    """Makes frames, in any number of threads; each has a compressor, whose tables are large."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._own = threading.local()

    def pack(self, data: bytes) -> bytes:
        own = self._own
        if not hasattr(own, "compressor"):
            # Without a sum of its own: the table has the digest of each file.
            own.compressor = zstandard.ZstdCompressor(level=self._level, write_checksum=False)
        packed: bytes = own.compressor.compress(data)
        return packed
