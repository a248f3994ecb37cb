"""The images of a bundle: from registries, from files and folders, from other bundles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimpack.bundle.contents import Document, Packed
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.errors import ImageError, InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.names import canonical_name
from slimpack.oci.several import read_all
from slimpack.progress import SILENT, Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch, pull_all
from slimpack.registry.reference import Reference
from slimpack.registry.streaming import streamed

Origin = Path | Reference | Bundle
"""Where an image is from: a file or folder, a registry, another bundle."""


@dataclass(frozen=True)
class Opened:
    """An image that is to go into a bundle.

    source: as the user wrote it, for messages. labels: what it is called there; names: full
    names that it gets in the bundle. origin: where documents about it are looked for.
    documents: those that are known already.
    """

    source: str
    origin: Origin
    names: tuple[str, ...]
    target: Deliverable
    labels: tuple[str, ...] = ()
    documents: tuple[Document, ...] = field(default=(), repr=False)

    @property
    def packed(self) -> Packed:
        """The image as a part of a bundle."""
        return Packed(self.names, self.target, self.documents)

    def is_called(self, text: str) -> bool:
        """Tell whether `text` is one of its names or labels."""
        try:
            return text in self.labels or canonical_name(text) in self.names
        except InputError:
            return False


@dataclass(frozen=True)
class Registered:
    """What reads images of registries. keep: layers go into `blobs`, not only through."""

    registries: Registries
    blobs: BlobStore
    progress: Progress = SILENT
    keep: bool = False


def open_reference(text: str, reference: Reference, means: Registered) -> Opened:
    """Return what a reference names; raise as `pull_all` does."""
    target = pull_all(reference, means.registries, blobs=means.blobs, progress=means.progress)
    names = (f"{reference.name}:{reference.tag}",) if reference.tag else ()
    return Opened(text, reference, names, target)


def fetched(opened: Sequence[Opened], means: Registered) -> list[Opened]:
    """Return the same images, with layers that are there, or come as streams when they are read.

    With `Registered.keep` all layers are downloaded first, several at a time, and an
    interrupted run goes on where it was. Else each goes straight into the bundle.
    """
    if means.keep:
        for one in opened:
            prefetch(one.target, means.registries, means.progress)
        return list(opened)
    return [replace(one, target=streamed(one.target)) for one in opened]


def open_path(path: Path, progress: Progress = SILENT) -> list[Opened]:
    """Return all images of an OCI layout, a tar of one, or a docker-archive."""
    found = [
        Opened(str(path), path, item.names, item.target, item.labels) for item in read_all(path)
    ]
    for one in found:
        if isinstance(one.target, Index) and not one.target.raw_json:
            progress.note(f"{path}: only the images of its index are taken; its digest changes")
    return found


def open_other(path: Path) -> list[Opened]:
    """Return all images of another bundle. Raises InputError for one that is a delta."""
    bundle = open_bundle(path)
    if bundle.statement.is_delta:
        raise InputError(
            f"{path} is a delta: it has not all blobs of its images",
            hint="apply it, and bundle what comes of that",
        )
    return [
        Opened(str(path), bundle, one.names, bundle.target(one)) for one in bundle.statement.images
    ]


def of_platforms(
    opened: Opened, platforms: Sequence[Platform], progress: Progress = SILENT
) -> Opened:
    """Return the images for some platforms; all of them are the index as it is.

    Of several but not all another index is made, which a note says. Raises InputError when
    there is none.
    """
    images = images_of(opened.target)
    fitting = tuple(
        image for image in images if any(image.platform.matches(one) for one in platforms)
    )
    if not platforms or len(fitting) == len(images):
        return opened
    if not fitting:
        there = ", ".join(str(image.platform) for image in images)
        raise InputError(
            f"{opened.source} has no image for {' or '.join(map(str, platforms))}",
            hint=f"it has them for {there}",
        )
    if len(fitting) == 1:
        return replace(opened, target=fitting[0])
    progress.note(f"{opened.source}: an index of {len(fitting)} of its {len(images)} images")
    index = opened.target
    assert isinstance(index, Index)
    return replace(opened, target=Index(fitting, index.annotations))


def joined(opened: Iterable[Opened]) -> list[Opened]:
    """Return each image once, with all its names.

    Raises InputError for an image without a name, and for two under one.
    """
    found: dict[str, Opened] = {}
    taken: dict[str, Opened] = {}
    for one in opened:
        if not one.names:
            raise _unnamed(one)
        for name in one.names:
            other = taken.setdefault(name, one)
            if other.target.digest != one.target.digest:
                raise InputError(
                    f"{other.source} and {one.source} are two images under one name, {name}",
                    hint=f"name one of them with --name {one.source}=NAME:TAG",
                )
        before = found.get(one.target.digest)
        if before is not None:
            names = tuple(dict.fromkeys((*before.names, *one.names)))
            told = {item.key: item for item in (*one.documents, *before.documents)}
            documents = tuple(told[key] for key in sorted(told))
            one = replace(before, names=names, documents=documents)
        found[one.target.digest] = one
    if not found:
        raise ImageError("there is no image to bundle", hint="name at least one that has one")
    return list(found.values())


def _unnamed(one: Opened) -> InputError:
    called = f" ({', '.join(one.labels)})" if one.labels else ""
    return InputError(
        f"{one.source}: the image {one.target.digest}{called} has no name by which the far side "
        "could call it",
        hint=f"give it one with --name {one.source}=NAME:TAG",
    )
