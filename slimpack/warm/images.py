"""Images as data: their JSON byte for byte, and where their layers are in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from slimpack.cache.layers import LayerCache
from slimpack.cache.record import LayerRecord, check_record, record_of
from slimpack.errors import ImageError
from slimpack.oci.image import Image
from slimpack.oci.jsontext import parse_object
from slimpack.oci.layer import Source
from slimpack.oci.parse import parse_image


def image_to_json(image: Image) -> dict[str, Any]:
    """Return an image as JSON has it; ValueError for a layer whose unpacked size is unknown."""
    return {
        "manifest": image.manifest_json.decode(),
        "type": image.manifest_type,
        "config": image.config_json.decode(),
        "layers": [[one.name, asdict(record_of(one))] for one in image.layers],
    }


def image_from_json(value: Mapping[str, Any], layers: LayerCache) -> Image | None:
    """Return the image that `image_to_json` was given, None unless all its layers are here.

    Raises KeyError, TypeError, ValueError or ImageError for anything else.
    """
    manifest, config = value["manifest"].encode(), value["config"].encode()
    known = [
        (name, check_record(LayerRecord(**record), "what is remembered"))
        for name, record in value["layers"]
    ]

    def source(digest: str, size: int) -> Source:
        path = layers.blobs.path(digest)
        return lambda: path.open("rb")

    image = parse_image(manifest, parse_object(manifest, "manifest"), value["type"], config, source)
    if [layer.digest for layer in image.layers] != [record.digest for _, record in known]:
        raise ImageError("what is remembered has records of other layers")
    if not all(layers.has(record) for _, record in known):
        return None
    return replace(
        image,
        layers=tuple(layers.lend(record, name) for name, record in known),
    )
