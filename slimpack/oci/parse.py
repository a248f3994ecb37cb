"""Manifests and configs that others wrote, whether they lie on disk or in a registry.

Formats: OCI image-spec v1.1, manifest.md, config.md and image-index.md; Docker's image
manifest, version 2, schema 2.

The input is not trusted: JSON is bounded, types are checked, and what a descriptor
declares must be so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.config import History, ImageConfig
from slimpack.oci.digest import check_digest, sha256
from slimpack.oci.image import (
    CONFIG_TYPE,
    DOCKER_INDEX_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_LAYERS,
    Image,
)
from slimpack.oci.index import Index
from slimpack.oci.jsontext import Object
from slimpack.oci.layer import TAR, Layer, Source
from slimpack.oci.validate import layer_type

MAX_MANIFEST = 4 << 20
MAX_CONFIG = 8 << 20
"""Bytes of JSON that are read; larger ones are refused."""

MAX_MANIFESTS = 1000
"""Manifests that an index may list, those of nested indexes included."""

INDEX_TYPES = (INDEX_TYPE, DOCKER_INDEX_TYPE)
MANIFEST_TYPES = (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)


def check_blob(data: bytes, item: Object, what: str) -> bytes:
    """Return `data` if it is what the descriptor `item` declares; raise ImageError if not."""
    digest = check_digest(item.get("digest"), what)
    what = f"{what} {digest}"
    size = jsontext.number(item, "size", what)
    if len(data) != size:
        raise ImageError(f"{what} has {len(data)} bytes, but declares {size}")
    if sha256(data) != digest:
        raise ImageError(
            f"{what} does not match its digest", hint="the image was damaged or altered"
        )
    return data


def parse_manifest(data: bytes, kind: str, what: str) -> Object:
    """Return the JSON of a manifest or an index of the type `kind`.

    Raises ImageError for one that says that it is of another type, or that nobody knows.
    """
    manifest = jsontext.parse_object(data, what)
    if jsontext.text(manifest, "mediaType", what) not in ("", kind):
        raise ImageError(f"{what} is not of the type {kind[:100]!r} that is said of it")
    if kind not in (*INDEX_TYPES, *MANIFEST_TYPES):
        raise ImageError(
            f"{what} has the unknown type {kind[:100]!r}",
            hint="OCI image manifests and Docker's schema 2 are read",
        )
    return manifest


def is_attestation(item: Object) -> bool:
    """Tell whether an index lists something beside images.

    BuildKit lists provenance there, as if it were for an unknown platform. A descriptor
    with an artifact type tells of an artifact, such as an SBOM (`slimpack.oci.artifact`).
    """
    if jsontext.text(item, "artifactType", "index.json") not in ("", CONFIG_TYPE):
        return True
    annotations = jsontext.text_mapping(item, "annotations", "index.json")
    platform = jsontext.mapping(item, "platform", "index.json")
    return "vnd.docker.reference.type" in annotations or platform.get("os") == "unknown"


def parse_image(
    data: bytes,
    manifest: Object,
    kind: str,
    raw_config: bytes,
    source: Callable[[str, int], Source],
) -> Image:
    """Put an image together from its manifest and its config.

    data: the bytes that `manifest` was parsed from. source: returns what opens the
    layer of a digest and a size. Raises ImageError for all that is malformed.
    """
    what = f"manifest {sha256(data)}"
    config, history, diff_ids = parse_config(raw_config, "the image's config")
    items = jsontext.objects(manifest, "layers", what)
    if len(items) != len(diff_ids):
        raise ImageError(f"{what} lists {len(items)} layers, its config {len(diff_ids)}")
    layers = []
    for item, diff_id, name in zip(items, diff_ids, layer_names(history, items), strict=True):
        layer = check_digest(item.get("digest"), what)
        size = jsontext.number(item, "size", f"layer {layer}")
        media_type = layer_type(jsontext.text(item, "mediaType", what), f"layer {layer}")
        unpacked = size if media_type == TAR else None
        notes = jsontext.text_mapping(item, "annotations", f"layer {layer}")
        opens = source(layer, size)
        layers.append(Layer(media_type, layer, size, diff_id, opens, unpacked, name, notes))
    return Image(
        layers=tuple(layers),
        config=config,
        history=history,
        annotations=jsontext.text_mapping(manifest, "annotations", what),
        raw_config=raw_config,
        raw_manifest=data,
        manifest_type=kind,
    )


def parse_index(data: bytes, kind: str, images: Sequence[Image]) -> Index:
    """Return an index of the images that were read for it.

    It is the one in `data`, byte for byte, if that lists these images and nothing else;
    without its attestations, or with the images of nested indexes, it is another one.
    """
    index = jsontext.parse_object(data, "index")
    listed = [item.get("digest") for item in jsontext.objects(index, "manifests", "index")]
    annotations = jsontext.text_mapping(index, "annotations", "index")
    if listed == [image.digest for image in images]:
        return Index(tuple(images), annotations, data, kind)
    return Index(tuple(images), annotations)


def parse_config(data: bytes, what: str) -> tuple[ImageConfig, tuple[History, ...], list[str]]:
    """Return a config, its history, and the diffIDs of its layers."""
    config = jsontext.parse_object(data, what)
    rootfs = jsontext.mapping(config, "rootfs", what)
    diff_ids = jsontext.texts(rootfs, "diff_ids", what)
    if len(diff_ids) > MAX_LAYERS:
        raise ImageError(f"{what} lists {len(diff_ids)} layers, more than {MAX_LAYERS}")
    for diff_id in diff_ids:
        check_digest(diff_id, what)
    steps = jsontext.objects(config, "history", what)
    history = tuple(History.from_json(step, what) for step in steps)
    return ImageConfig.from_json(config, what), history, diff_ids


def layer_names(history: Sequence[History], layers: Sequence[object]) -> list[str]:
    """Return what made each layer, "" where the history does not tell."""
    names = [step.created_by for step in history if not step.empty]
    return names if len(names) == len(layers) else [""] * len(layers)
