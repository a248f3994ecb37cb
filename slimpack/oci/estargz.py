"""eStargz: a gzip layer that containerd's stargz-snapshotter mounts before it is there.

Format: stargz-snapshotter, docs/estargz.md. The last member of the tar, ``stargz.index.json``,
is the table of contents, in a gzip member of its own; behind it an empty gzip member whose
extra field tells where that begins. A member ``.prefetch.landmark`` ends what a start needs,
and is fetched in advance; ``.no.prefetch.landmark`` says that nothing is known of a start.

Whoever unpacks the layer as a whole finds these two files at the root of the image.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from slimpack.errors import ImageError
from slimpack.oci.compress import Compression
from slimpack.oci.digest import HashingWriter, Nowhere, sha256
from slimpack.oci.gzipped import gzip_member
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.tar import Advance, tar_chunks
from slimpack.oci.toc import (
    INDEX,
    LANDMARK,
    NO_LANDMARK,
    RESERVED,
    Table,
    cut,
    in_order,
    write_pieces,
)
from slimpack.tree import Entry, Kind, bytes_entry

TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
"""Annotation: digest of the table's JSON, which is what a lazy reader verifies all else by."""

UNPACKED_SIZE = "io.containers.estargz.uncompressed-size"
"""Annotation: bytes of the tar, for readers that never see all of it."""

_MARK = b"\x0f"
_MODE = 0o444


def write_estargz(
    members: Sequence[Entry],
    out: HashingWriter,
    *,
    compression: Compression,
    mtime: int,
    advance: Advance | None = None,
) -> Table:
    """Write `members` to `out` as an eStargz layer.

    members: as `slimpack.oci.tar.with_parents` gives them. Raises ImageError for a member
    that has a name of the format's own, and as `slimpack.oci.toc.cut` does.
    """
    taken = sorted(RESERVED.intersection(member.path for member in members))
    if taken:
        raise ImageError(
            f"/{taken[0]} has a meaning of its own in an eStargz layer",
            hint="compress the image with zstd or gzip, or name the file otherwise",
        )
    early, late = in_order(members, compression.first)
    known = any(member.kind is Kind.FILE for member in early)
    mark = bytes_entry(LANDMARK if known else NO_LANDMARK, _MARK, mode=_MODE)
    items: list[Object] = []
    tar = HashingWriter(Nowhere())
    write_pieces(
        cut([*early, mark, *late], items, mtime=mtime, end=b"", whole=True),
        lambda data: gzip_member(data, compression.level),
        out,
        tar,
        threads=compression.workers,
        ends=False,
        advance=advance,
    )
    table = canonical({"version": 1, "entries": items})
    start = out.size
    last = b"".join(tar_chunks([bytes_entry(INDEX, table, mode=_MODE)], mtime=mtime))
    tar.write(last)
    out.write(gzip_member(last, compression.level))
    out.write(footer(start))
    return Table(
        diff_id=tar.digest,
        unpacked_size=tar.size,
        annotations={TOC_DIGEST: sha256(table), UNPACKED_SIZE: str(tar.size)},
    )


def footer(start: int) -> bytes:
    """Return the last 51 bytes of a layer whose table begins at `start`."""
    extra = b"%016xSTARGZ" % start
    header = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff"
    field = struct.pack("<H2sH", len(extra) + 4, b"SG", len(extra)) + extra
    return header + field + b"\x01\x00\x00\xff\xff" + struct.pack("<II", zlib.crc32(b""), 0)
