"""One layer of an image: a compressed tar with two digests, opened on demand.

Format: OCI image-spec v1.1, layer.md and descriptor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import DEFAULT, Compression
from slimpack.oci.decompress import MAX_UNPACKED, decompress
from slimpack.oci.digest import ByteStream, HashingWriter, VerifyingReader, chunks
from slimpack.oci.estargz import write_estargz
from slimpack.oci.tar import Advance, tar_size, with_parents, write_tar
from slimpack.oci.zstdchunked import write_zstd_chunked
from slimpack.tree import Entry

Source = Callable[[], ByteStream]
"""Opens the stored bytes of a blob from their beginning."""

TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_TYPES = (TAR, f"{TAR}+gzip", f"{TAR}+zstd")


@dataclass(frozen=True)
class Layer:
    """A layer, equal to another when their bytes are.

    media_type: one of `LAYER_TYPES`.
    digest, size: of the blob as stored and transferred (compressed).
    diff_id: digest of the uncompressed tar.
    source: opens the blob; anything from a file to a registry.
    unpacked_size: bytes of the uncompressed tar, None when unknown.
    name: what a human calls it (``numpy-2.1.0``); goes into the image's history.
    annotations: of its descriptor in the manifest, as lazy readers need them.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str
    source: Source = field(repr=False, compare=False)
    unpacked_size: int | None = field(default=None, compare=False)
    name: str = field(default="", compare=False)
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    def open(self) -> VerifyingReader:
        """Open the blob; the read that gives its last byte raises ImageError unless all is well."""
        what = f"layer {self.digest}"
        try:
            stream = self.source()
        except OSError as error:
            raise ImageError(f"cannot open {what}: {error.strerror or error}") from error
        return VerifyingReader(stream, self.digest, self.size, what)

    def open_tar(self, *, limit: int = MAX_UNPACKED) -> VerifyingReader:
        """Open the uncompressed tar, verified against `diff_id` at its end.

        Raises ImageError, on reading, for damaged data and after `limit` bytes.
        """
        what = f"layer {self.digest}"
        tar = decompress(self.open(), limit=limit, what=what)
        return VerifyingReader(tar, self.diff_id, self.unpacked_size, f"the tar of {what}")

    def plain(self) -> Layer:
        """Return the same layer as an uncompressed tar, unpacked anew whenever it is opened.

        Where nobody told the unpacked size, the layer is read once to count it.
        """
        if self.media_type == TAR:
            return self
        size = self.unpacked_size
        if size is None:
            with self.open_tar() as tar:
                size = sum(map(len, chunks(tar)))
        return replace(
            self,
            media_type=TAR,
            digest=self.diff_id,
            size=size,
            source=self.open_tar,
            unpacked_size=size,
            annotations={},
        )


def build_layer(
    name: str,
    entries: Iterable[Entry],
    *,
    blobs: BlobStore,
    mtime: int,
    compression: Compression = DEFAULT,
    advance: Advance | None = None,
) -> Layer:
    """Write `entries` as one compressed layer into `blobs` and describe it.

    mtime: seconds since the epoch for every member.
    advance: called with the number of uncompressed tar bytes just written;
        they add up to ``tar_size(entries)``.
    Memory does not depend on the size of the files. The result depends on
    `entries`, `mtime`, and `Compression.key` alone. Raises ImageError as
    `write_tar` does, SlimpackError when the store cannot be written; then, and
    on KeyboardInterrupt, nothing is left in the store.
    """
    members = with_parents(entries)
    if compression.chunked:
        return _chunked(name, members, blobs, mtime, compression, advance)
    size = tar_size(members)
    with blobs.create() as sink, compression.writer(sink, size) as packer:
        plain = HashingWriter(packer)
        write_tar(members, plain, mtime=mtime, advance=advance)
    path = blobs.path(sink.digest)
    return Layer(
        media_type=compression.media_type,
        digest=sink.digest,
        size=sink.size,
        diff_id=plain.digest,
        source=lambda: path.open("rb"),
        unpacked_size=size,
        name=name,
    )


def _chunked(
    name: str,
    members: Sequence[Entry],
    blobs: BlobStore,
    mtime: int,
    compression: Compression,
    advance: Advance | None,
) -> Layer:
    """Write a layer whose files can be read one by one (`slimpack.oci.toc`)."""
    write = write_zstd_chunked if compression.kind == "zstd" else write_estargz
    with blobs.create() as sink:
        table = write(members, sink, compression=compression, mtime=mtime, advance=advance)
    path = blobs.path(sink.digest)
    return Layer(
        media_type=compression.media_type,
        digest=sink.digest,
        size=sink.size,
        diff_id=table.diff_id,
        source=lambda: path.open("rb"),
        unpacked_size=table.unpacked_size,
        name=name,
        annotations=table.annotations,
    )
