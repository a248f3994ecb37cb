"""Makes patches of new layers against the layers of an old image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from slimpack.oci.digest import Writable
from slimpack.oci.layer import Layer
from slimpack.patch.info import PatchInfo
from slimpack.progress import SILENT, Progress


class PatchMaker:
    """Makes patches against `bases`, each unpacked and looked through once, when first needed.

    bases: layers that the other side has, the lowest first; best those of the old image
        that the new one has no more.
    scratch: a folder for unnamed files that hold the tars of all bases and of one new layer.
    """

    def __init__(
        self, bases: Sequence[Layer], *, scratch: Path, progress: Progress = SILENT
    ) -> None:
        raise NotImplementedError

    def make(self, new: Layer, out: Writable, *, limit: int | None = None) -> PatchInfo | None:
        """Write a patch that makes the blob of `new` to `out`, after having proved it.

        limit: bytes that the whole patch must stay below; None means `new.size`.
        Returns None, with nothing written, where no patch stays below it, or where no
        compressor of this machine makes that blob (layers that others made).
        Raises ImageError for a layer that does not match its digests.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free the space in `scratch`."""

    def __enter__(self) -> PatchMaker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
