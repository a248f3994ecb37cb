"""One image of a bundle with all that belongs to it, ready to go.

All JSON is read and verified here, before anything is written anywhere: manifests against
their descriptors, and every blob that they name is in the statement with its size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from slimpack.bundle.choosing import Chosen
from slimpack.bundle.model import Attached, Blob
from slimpack.bundle.reader import Bundle
from slimpack.errors import BundleError, ImageError
from slimpack.oci.digest import hex_of
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.parse import INDEX_TYPES, MANIFEST_TYPES


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as it is stored."""

    digest: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Told:
    """What tells of an image. manifest: its bytes. blobs: that it names."""

    attached: Attached
    manifest: Manifest
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Shipment:
    """An image or index, its names there, and its documents.

    blobs: configs and layers, each once, large ones first. manifests: of images before that
    of their index; names lead to the last one.
    """

    target: Deliverable
    names: tuple[str, ...]
    blobs: tuple[Blob, ...]
    manifests: tuple[Manifest, ...]
    documents: tuple[Told, ...] = ()

    @property
    def all_blobs(self) -> tuple[Blob, ...]:
        """Those of the documents, too."""
        told = (blob for document in self.documents for blob in document.blobs)
        return tuple(dict.fromkeys((*self.blobs, *told)))

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.names[0] if self.names else self.target.digest


def read_shipments(bundle: Bundle, chosen: Sequence[Chosen]) -> list[Shipment]:
    """Read the images of a bundle. Raises BundleError for what is damaged or incomplete."""
    try:
        return [_read(bundle, one) for one in chosen]
    except ImageError as error:
        raise damaged(bundle, error) from error
    except OSError as error:
        raise unreadable(bundle, error) from error


def damaged(bundle: Bundle, error: ImageError) -> BundleError:
    """Return what is to be said of a member that is not what it should be."""
    return BundleError(
        error.message,
        hint=f"`slimpack bundle verify {bundle.path}` tells all that is damaged; bring it again",
    )


def unreadable(bundle: Bundle, error: OSError) -> BundleError:
    """Return what is to be said of a medium that cannot be read."""
    return BundleError(
        f"cannot read {bundle.path}: {error.strerror or error}",
        hint="the medium may be damaged or gone; what was written stays, and is not sent again",
    )


def _read(bundle: Bundle, chosen: Chosen) -> Shipment:
    target = bundle.target(chosen.bundled)
    if target.digest != chosen.bundled.digest:
        raise BundleError(
            f"the bundle lists {chosen.bundled.digest}, which holds more than images",
            hint="its sender has to make it again",
        )
    return Shipment(
        target,
        chosen.names,
        _blobs(target),
        _manifests(target),
        tuple(_told(bundle, one) for one in chosen.bundled.attached),
    )


def _blobs(target: Deliverable) -> tuple[Blob, ...]:
    found = {Blob(image.config_digest, len(image.config_json)) for image in images_of(target)}
    found |= {Blob(one.digest, one.size) for image in images_of(target) for one in image.layers}
    return tuple(sorted(found, key=lambda blob: (-blob.size, blob.digest)))


def _manifests(target: Deliverable) -> tuple[Manifest, ...]:
    found = [_manifest(image) for image in images_of(target)]
    if isinstance(target, Index):
        found.append(Manifest(target.digest, target.media_type, target.manifest_json))
    return tuple(found)


def _manifest(image: Image) -> Manifest:
    return Manifest(image.digest, image.manifest_type, image.manifest_json)


def _told(bundle: Bundle, attached: Attached) -> Told:
    """Read a document: its manifest, and of its blobs that they are there."""
    digest, kind = str(attached.descriptor["digest"]), str(attached.descriptor["mediaType"])
    # Under any other tag it could take the place of an image.
    if attached.tag and not re.fullmatch(
        rf"sha256-{hex_of(attached.subject)}\.[a-z]{{1,32}}", attached.tag
    ):
        raise BundleError(f"the document {digest} has the tag {attached.tag[:200]!r} of an image")
    if kind not in (*MANIFEST_TYPES, *INDEX_TYPES):
        raise BundleError(f"the document {digest} is of the unknown type {kind[:100]!r}")
    manifest = Manifest(digest, kind, bundle.manifest(attached.descriptor))
    blobs = tuple(dict.fromkeys(bundle.document_blobs(attached.descriptor)))
    for blob in blobs:
        if bundle.files.find(blob.path).size != blob.size:
            raise BundleError(f"{blob.path} of the document {digest} has not {blob.size} bytes")
    return Told(attached, manifest, blobs)
