"""Blobs that are rebuilt from patches and from blobs that the far side has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.bundle.model import Patch
from slimpack.errors import BundleError, ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream, chunks
from slimpack.oci.layer import TAR, Layer
from slimpack.patch.apply import Patcher
from slimpack.patch.info import Base, PatchInfo, can_rebuild, read_info
from slimpack.progress import SILENT, Progress


@dataclass(frozen=True)
class Held:
    """A blob that the far side has.

    size: in bytes, 0 where a registry does not say. source: the repository where it can be
    mounted from, "" for none.
    """

    open: Callable[[], ByteStream] = field(repr=False)
    size: int
    source: str = ""


def check_patch(patch: Patch, open_patch: Callable[[], ByteStream]) -> PatchInfo:
    """Return what a patch says of itself, if that is what the bundle says of it.

    Only its head is read. Raises BundleError for one that is malformed, or that this machine
    cannot apply: the blob depends on the version of the compressor.
    """
    with _told_of(patch), closing(open_patch()) as stream:
        info = read_info(stream)
    said = (info.digest, info.size, info.patch_size, tuple(base.digest for base in info.bases))
    if said != (patch.target.digest, patch.target.size, patch.size, patch.bases):
        raise BundleError(
            f"{info.what} is not the one that the bundle speaks of",
            hint="its sender has to make the bundle again",
        )
    if reason := can_rebuild(info):
        raise BundleError(
            f"{info.what} cannot be applied: {reason}",
            hint="install the slimpack that made it (a bundle made --with-slimpack has it), or "
            "ask for a bundle made with --no-patches",
        )
    return info


class Rebuilder:
    """Makes the blobs of patches, one at a time; bases are unpacked once.

    held: digest -> blob that the far side has. scratch: a folder for what it makes.
    """

    def __init__(
        self, held: Mapping[str, Held], scratch: Path, progress: Progress = SILENT
    ) -> None:
        self._held = held
        self._blobs = BlobStore(scratch / "blobs", durable=False)
        self._layers: dict[str, Layer] = {}
        self._patcher = Patcher(self._layers.get, scratch=scratch, progress=progress)

    def rebuild(self, patch: Patch, open_patch: Callable[[], ByteStream]) -> Path:
        """Return a file with the blob `patch.target`.

        open_patch: opens the patch, verified. Raises BundleError for a patch that does not
        make what it says, and what opening a base raises.
        """
        info = check_patch(patch, open_patch)
        for base in info.bases:
            if base.digest in self._held:
                self._layers[base.digest] = _layer(base, self._held[base.digest])
        with _told_of(patch), closing(open_patch()) as stream:
            self._patcher.apply(stream, self._blobs)
        return self._blobs.path(patch.target.digest)

    def close(self) -> None:
        """Free the space of unpacked bases."""
        self._patcher.close()


class _told_of:  # noqa: N801 (a context manager, used like a function)
    """Say of a patch that is no good what is to be done."""

    def __init__(self, patch: Patch) -> None:
        self._patch = patch

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageError):
            raise BundleError(
                f"blob {self._patch.target.digest} cannot be made of what is there: "
                f"{error.message}",
                hint=error.hint or "bring the bundle again, or one made with --no-patches",
            ) from error


def _layer(base: Base, held: Held) -> Layer:
    """Describe a base; the patch says its diffID, which is checked when it is unpacked."""
    size = held.size or _counted(held)
    return Layer(TAR, base.digest, size, base.diff_id, held.open, base.unpacked_size)


def _counted(held: Held) -> int:
    with closing(held.open()) as stream:
        return sum(map(len, chunks(stream)))
