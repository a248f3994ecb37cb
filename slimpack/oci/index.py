"""Several images under one digest, one for each platform.

Format: OCI image-spec v1.1, image-index.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from slimpack.errors import ImageError
from slimpack.oci.digest import sha256
from slimpack.oci.image import INDEX_TYPE, Image
from slimpack.oci.jsontext import Object, canonical


@dataclass(frozen=True)
class Index:
    """Images of one thing for different platforms, in the order in which clients see them.

    annotations: of the index.
    raw_json: the exact bytes of an index that was read, b"" for one that is made here.
    media_type: of the index.
    Raises ImageError for two images of one platform (a client would take the first).
    """

    images: tuple[Image, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    raw_json: bytes = field(default=b"", repr=False)
    media_type: str = INDEX_TYPE

    def __post_init__(self) -> None:
        seen = [str(image.platform) for image in self.images]
        for platform in seen:
            if not self.raw_json and seen.count(platform) > 1:
                raise ImageError(f"an index with {seen.count(platform)} images for {platform}")

    @cached_property
    def manifest_json(self) -> bytes:
        """The index as it is stored."""
        if self.raw_json:
            return self.raw_json
        index: Object = {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [image.descriptor() for image in self.images],
        }
        if self.annotations:
            index["annotations"] = dict(self.annotations)
        return canonical(index)

    @cached_property
    def digest(self) -> str:
        """Digest of the index."""
        return sha256(self.manifest_json)

    @property
    def size(self) -> int:
        """Bytes to transfer: the index, and of its images each distinct blob once."""
        blobs: dict[str, int] = {}
        for image in self.images:
            blobs[image.digest] = len(image.manifest_json)
            blobs[image.config_digest] = len(image.config_json)
            blobs.update((layer.digest, layer.size) for layer in image.layers)
        return len(self.manifest_json) + sum(blobs.values())

    def descriptor(self) -> Object:
        """Return the descriptor of the index."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.manifest_json),
        }


Deliverable = Image | Index
"""What a sink takes: one image, or an index of several."""


def images_of(target: Deliverable) -> tuple[Image, ...]:
    """Return the image, or those of an index."""
    return target.images if isinstance(target, Index) else (target,)
