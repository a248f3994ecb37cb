"""What the far side has, written down: the near side leaves it out of the next bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slimpack.bundle.model import MAX_MEMBERS, Blob, moment
from slimpack.errors import BundleError, ImageError
from slimpack.oci import jsontext
from slimpack.oci.digest import check_digest
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.jsontext import Object, canonical

MEDIA_TYPE = "application/vnd.slimpack.inventory.v1+json"
MAX_INVENTORY = 64 << 20


@dataclass(frozen=True)
class Listed:
    """An image. names: full ones, () for none. descriptor: mediaType, digest, size."""

    names: tuple[str, ...]
    descriptor: Object


@dataclass(frozen=True)
class Inventory:
    """Images, and the blobs that they are made of.

    diff_ids: digest of a layer -> digest of its uncompressed tar.
    created, digest: of the bundle that was applied last (or is described), None and "" where
    there was none. created: seconds since the epoch.
    """

    images: tuple[Listed, ...] = ()
    blobs: tuple[Blob, ...] = ()
    diff_ids: tuple[tuple[str, str], ...] = ()
    created: int | None = None
    digest: str = ""

    def with_image(self, names: tuple[str, ...], target: Deliverable) -> Inventory:
        """Return it with one more image and its blobs; other names of one are added."""
        images = {one.descriptor["digest"]: one for one in self.images}
        known = images[target.digest].names if target.digest in images else ()
        own = {key: target.descriptor()[key] for key in ("mediaType", "digest", "size")}
        images[target.digest] = Listed(tuple(dict.fromkeys((*known, *names))), own)
        blobs = {blob.digest: blob for blob in self.blobs}
        diff_ids = dict(self.diff_ids)
        for image in images_of(target):
            blobs[image.config_digest] = Blob(image.config_digest, len(image.config_json))
            for layer in image.layers:
                blobs[layer.digest] = Blob(layer.digest, layer.size)
                diff_ids[layer.digest] = layer.diff_id
        return replace(
            self,
            images=tuple(images.values()),
            blobs=tuple(sorted(blobs.values())),
            diff_ids=tuple(sorted(diff_ids.items())),
        )

    def to_json(self) -> bytes:
        """Return the one text of it."""
        diff_ids = dict(self.diff_ids)
        value: Object = {
            "schemaVersion": 1,
            "mediaType": MEDIA_TYPE,
            "images": [
                {"names": list(one.names), "descriptor": one.descriptor} for one in self.images
            ],
            "blobs": [
                {"digest": blob.digest, "size": blob.size}
                | ({"diffID": diff_ids[blob.digest]} if blob.digest in diff_ids else {})
                for blob in sorted(self.blobs)
            ],
        }
        if self.created is not None:
            value["created"] = self.created
        if self.digest:
            value["digest"] = self.digest
        return canonical(value)


def parse_inventory(data: bytes, what: str) -> Inventory:
    """Read an inventory. Raises BundleError, naming `what`, for anything but a sound one."""
    try:
        if len(data) > MAX_INVENTORY:
            raise BundleError(f"{what} is too large for an inventory")
        return _parsed(jsontext.parse_object(data, what), what)
    except ImageError as error:
        raise BundleError(error.message, hint=error.hint) from error


def _parsed(value: Object, what: str) -> Inventory:
    if jsontext.text(value, "mediaType", what) != MEDIA_TYPE or value.get("schemaVersion") != 1:
        raise BundleError(
            f"{what} is no inventory that this slimpack knows",
            hint="`slimpack bundle inventory` writes one",
        )
    items = jsontext.objects(value, "blobs", what)
    images = jsontext.objects(value, "images", what)
    if len(items) > MAX_MEMBERS or len(images) > MAX_MEMBERS:
        raise BundleError(f"{what} lists more than {MAX_MEMBERS} blobs or images")
    blobs: dict[str, Blob] = {}
    diff_ids: dict[str, str] = {}
    for item in items:
        digest = check_digest(item.get("digest"), what)
        if digest in blobs:
            raise BundleError(f"{what} lists the blob {digest} twice")
        blobs[digest] = Blob(digest, jsontext.number(item, "size", what))
        if "diffID" in item:
            diff_ids[digest] = check_digest(item["diffID"], what)
    return Inventory(
        images=tuple(_listed(item, what) for item in images),
        blobs=tuple(sorted(blobs.values())),
        diff_ids=tuple(sorted(diff_ids.items())),
        created=moment(value, what),
        digest=check_digest(value["digest"], what) if "digest" in value else "",
    )


def _listed(item: Object, what: str) -> Listed:
    descriptor = jsontext.mapping(item, "descriptor", what)
    check_digest(descriptor.get("digest"), what)
    jsontext.number(descriptor, "size", what)
    jsontext.text(descriptor, "mediaType", what)
    return Listed(tuple(jsontext.texts(item, "names", what)), descriptor)
