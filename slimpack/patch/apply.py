"""Rebuilds layers from patches, which are untrusted input here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream
from slimpack.oci.layer import Layer
from slimpack.patch.info import PatchInfo
from slimpack.progress import SILENT, Progress

OpenBase = Callable[[str], "Layer | None"]
"""Finds a layer by the digest of its blob; None when there is none."""


class Patcher:
    """Applies patches; each base is unpacked once, however many patches read it.

    scratch: a folder for unnamed files that hold the tars of the bases.
    """

    def __init__(self, open_base: OpenBase, *, scratch: Path, progress: Progress = SILENT) -> None:
        raise NotImplementedError

    def check(self, info: PatchInfo) -> None:
        """Raise ImageError unless all bases are there and the compressor is the right one.

        Nothing is unpacked: call it for all patches before the first is applied.
        """
        raise NotImplementedError

    def apply(self, stream: ByteStream, blobs: BlobStore) -> Layer:
        """Rebuild the layer of the patch in `stream`, store its blob, and return it.

        Checks what `check` does first. Raises ImageError, leaving nothing in `blobs`, for
        anything wrong with the patch or a base.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free the space in `scratch`."""

    def __enter__(self) -> Patcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
