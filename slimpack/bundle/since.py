"""What the far side has already: by an older bundle, or by an inventory of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.bundle.inventory import MAX_INVENTORY, parse_inventory
from slimpack.bundle.reader import Bundle, is_bundle, open_bundle
from slimpack.errors import InputError
from slimpack.oci.config import Platform
from slimpack.oci.digest import sha256
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.layer import Layer
from slimpack.oci.names import split_name


@dataclass(frozen=True)
class Old:
    """An image that the far side has. repositories: paths of its names, without host and tag.

    layers: those of it whose bytes are here.
    """

    repositories: frozenset[str]
    platform: Platform
    layers: tuple[Layer, ...] = field(repr=False)


@dataclass(frozen=True)
class Known:
    """What the far side has. digest: of the statement or the inventory that says so.

    blobs: digests. images: from which patches can be made here.
    """

    digest: str
    blobs: frozenset[str]
    images: tuple[Old, ...] = ()


def known_since(path: Path) -> Known:
    """Read an older bundle or an inventory.

    Who applied a bundle has all of it, and what it left out because that was there. An
    inventory has digests and no bytes, so there is nothing to make patches from. Raises
    InputError for a file that is neither, BundleError for one that is damaged.
    """
    if is_bundle(path):
        return _of_bundle(open_bundle(path))
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_INVENTORY + 1)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}",
            hint="give the bundle that was sent before, or the far side's inventory "
            "(`slimpack bundle inventory`)",
        ) from error
    found = parse_inventory(data, str(path))
    blobs = {blob.digest for blob in found.blobs}
    return Known(sha256(data), frozenset(blobs))


def _of_bundle(bundle: Bundle) -> Known:
    statement = bundle.statement
    here = frozenset(blob.digest for blob in statement.blobs)
    made = (patch.target.digest for patch in statement.patches)
    absent = (blob.digest for blob in statement.absent)
    olds = (
        old for one in statement.images for old in old_images(one.names, bundle.target(one), here)
    )
    return Known(bundle.digest, here.union(made, absent), tuple(olds))


def old_images(
    names: Iterable[str], target: Deliverable, here: frozenset[str] | None = None
) -> list[Old]:
    """Return the images of what the far side has. here: layers whose bytes are here, None: all."""
    repositories = frozenset(split_name(name)[1] for name in names)
    return [Old(repositories, image.platform, _there(image, here)) for image in images_of(target)]


def _there(image: Image, here: frozenset[str] | None) -> tuple[Layer, ...]:
    return tuple(layer for layer in image.layers if here is None or layer.digest in here)
