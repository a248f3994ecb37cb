"""Rebuilds layers from patches, which are untrusted input here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slimpack.closing import Closing
from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream, HashingWriter, Writable
from slimpack.oci.layer import Layer
from slimpack.patch.info import Base, PatchInfo, can_rebuild, read_info
from slimpack.patch.segment import read_segment
from slimpack.patch.spool import Spool, spool_tar
from slimpack.progress import SILENT, Progress

OpenBase = Callable[[str], "Layer | None"]
"""Finds a layer by the digest of its blob; None when there is none."""


class Patcher(Closing):
    """Applies patches; each base is unpacked once, however many patches read it.

    scratch: a folder for unnamed files: the tars of the bases.
    """

    def __init__(self, open_base: OpenBase, *, scratch: Path, progress: Progress = SILENT) -> None:
        self._open = open_base
        self._scratch = scratch
        self._progress = progress
        self._tars: dict[str, Spool] = {}

    def check(self, info: PatchInfo) -> None:
        """Raise ImageError unless all bases are there and the compressor is the right one.

        Nothing is unpacked: call it for all patches before the first is applied.
        """
        if reason := can_rebuild(info):
            raise ImageError(
                f"{info.what} cannot be applied: {reason}",
                hint="install the slimpack that made it, or transfer the layer whole",
            )
        for base in info.bases:
            self._layer(base, info)

    def apply(self, stream: ByteStream, blobs: BlobStore) -> Layer:
        """Rebuild the layer of the patch in `stream`, store its blob, and return it.

        Checks what `check` does first. Memory does not depend on the size of layers. Raises
        ImageError, leaving nothing in `blobs`, for anything wrong with the patch or a base,
        SlimpackError when the disk is full.
        """
        counting = _Counting(stream)
        info = read_info(counting)
        self.check(info)
        tars = [self._tar(base, info) for base in info.bases]
        told = f"layer {info.digest}"
        with (
            self._progress.task(told, total=info.unpacked_size) as task,
            blobs.create() as blob,
        ):
            bounded = _Bounded(blob, info)
            with info.compression.writer(bounded, info.unpacked_size) as packer:
                write_patched(counting, info, tars, packer, task.advance)
            if counting.count != info.patch_size:
                raise ImageError(f"{info.what} has not the {info.patch_size} bytes it declares")
            if (blob.digest, blob.size) != (info.digest, info.size):
                raise ImageError(f"{info.what} gives {blob.digest} instead")
        path = blobs.path(info.digest)
        return Layer(
            media_type=info.media_type,
            digest=info.digest,
            size=info.size,
            diff_id=info.diff_id,
            source=lambda: path.open("rb"),
            unpacked_size=info.unpacked_size,
        )

    def _layer(self, base: Base, info: PatchInfo) -> Layer:
        layer = self._open(base.digest)
        if layer is None:
            raise ImageError(
                f"{info.what} needs layer {base.digest}, which is not here",
                hint="it is made against another image than the one here: "
                "make it against the inventory of this side, or transfer the layer whole",
            )
        if (layer.digest, layer.diff_id) != (base.digest, base.diff_id):
            raise ImageError(f"{info.what} reads layer {base.digest} as something that it is not")
        return layer

    def _tar(self, base: Base, info: PatchInfo) -> Spool:
        if base.diff_id not in self._tars:
            layer = self._layer(base, info)
            self._tars[base.diff_id] = spool_tar(layer, self._scratch, size=base.unpacked_size)
        tar = self._tars[base.diff_id]
        if tar.size != base.unpacked_size:
            raise ImageError(f"{info.what} reads layer {base.digest} as something that it is not")
        return tar

    def close(self) -> None:
        """Free the space in `scratch`."""
        for tar in self._tars.values():
            tar.close()
        self._tars.clear()


def write_patched(
    body: ByteStream,
    info: PatchInfo,
    tars: Sequence[Spool],
    out: Writable,
    advance: Callable[[int], object] = lambda amount: None,
) -> None:
    """Write the tar that a patch makes to `out`. Raises ImageError unless it has its digest.

    body: what follows the head, to its end. tars: of the bases, in the order of the patch.
    advance: called with the number of bytes just written.
    """
    tar = HashingWriter(out)
    sizes = [base.unpacked_size for base in info.bases]
    while tar.size < info.unpacked_size:
        left = info.unpacked_size - tar.size
        for data in read_segment(body, sizes, tars, left, info.what):
            tar.write(data)
            advance(len(data))
    if body.read(1):
        raise ImageError(f"{info.what} has data after its end")
    if tar.digest != info.diff_id:
        raise ImageError(f"{info.what} gives the tar {tar.digest}, expected {info.diff_id}")


class _Counting:
    """Counts the bytes that are read."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data

    def close(self) -> None:
        self._stream.close()


class _Bounded:
    """Takes the bytes of a blob, and no more than it has."""

    def __init__(self, out: Writable, info: PatchInfo) -> None:
        self._out = out
        self._info = info
        self._left = info.size

    def write(self, data: bytes, /) -> int:
        self._left -= len(data)
        if self._left < 0:
            size = self._info.size
            raise ImageError(f"{self._info.what} gives more than the {size} bytes it declares")
        self._out.write(data)
        return len(data)
