"""An image by the text that a user wrote: a path on this machine, or a reference."""

from __future__ import annotations

from pathlib import Path

from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable
from slimpack.oci.read import image_names as names_on_disk
from slimpack.oci.read import read_deliverable, read_image
from slimpack.progress import SILENT, Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull, pull_all
from slimpack.registry.reference import Reference, is_reference

Source = Path | Reference


def image_source(text: str, folder: Path = Path()) -> Source:
    """Return the path, or the reference where there is no such path and a host is named.

    folder: what relative paths are relative to.
    """
    path = folder / text
    return Reference.parse(text) if is_reference(text) and not path.exists() else path


def image_names(source: Source, digest: str) -> tuple[str, ...]:
    """Return what the image with that manifest digest is called where it lies."""
    if isinstance(source, Path):
        return names_on_disk(source, digest)
    return (f"{source.name}:{source.tag}",) if source.tag else ()


def label(source: Source) -> str:
    """Return a short name for people: the file's own, or the reference."""
    return source.name if isinstance(source, Path) else str(source)


def open_image(
    source: Source,
    registries: Registries,
    *,
    blobs: BlobStore,
    platform: Platform | None = None,
    prefer: Platform | None = None,
    ref: str = "",
    progress: Progress = SILENT,
) -> Image:
    """Read the image at a path (`read_image`) or pull it (`pull`), and raise as these do."""
    if isinstance(source, Path):
        return read_image(source, platform, ref=ref)
    _no_name(source, ref)
    return pull(
        source, registries, blobs=blobs, platform=platform, prefer=prefer, progress=progress
    )


def open_deliverable(
    source: Source,
    registries: Registries,
    *,
    blobs: BlobStore,
    platform: Platform | None = None,
    ref: str = "",
    progress: Progress = SILENT,
) -> Deliverable:
    """Read or pull all images that are there under one name; with a platform, that one."""
    if platform is not None:
        return open_image(
            source, registries, blobs=blobs, platform=platform, ref=ref, progress=progress
        )
    if isinstance(source, Path):
        return read_deliverable(source, ref=ref)
    _no_name(source, ref)
    return pull_all(source, registries, blobs=blobs, progress=progress)


def _no_name(source: Reference, ref: str) -> None:
    if ref:
        raise InputError(
            f"{source} names one image, so that {ref!r} can choose none of it",
            hint="write the tag into the reference",
        )
