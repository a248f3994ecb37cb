"""Is an image what it says? Asked by every sink before it writes a byte.

Rules: OCI image-spec v1.1, manifest.md, config.md ('rootfs', 'history') and
descriptor.md.
"""

from __future__ import annotations

from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.digest import check_digest, chunks
from slimpack.oci.image import DOCKER_MANIFEST_TYPE, MANIFEST_TYPE, MAX_LAYERS, Image
from slimpack.oci.jsontext import Object
from slimpack.oci.layer import LAYER_TYPES, TAR

DOCKER_LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{TAR}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{TAR}+zstd",
}
"""Docker's names of layers, and the OCI names of the same bytes."""


def validate(image: Image, *, blobs: bool) -> None:
    """Raise ImageError, naming the first fault, unless `image` is consistent.

    blobs: also read every layer and recompute its digest, size and diffID;
        without it nothing is opened.
    """
    if len(image.layers) > MAX_LAYERS:
        raise ImageError(f"the image has {len(image.layers)} layers, more than {MAX_LAYERS}")
    for layer in image.layers:
        check_digest(layer.digest, "layer")
        check_digest(layer.diff_id, f"diffID of layer {layer.digest}")
        if layer.media_type not in LAYER_TYPES:
            raise ImageError(f"layer {layer.digest} has the type {layer.media_type!r}")
        if layer.size < 0:
            raise ImageError(f"layer {layer.digest} has the size {layer.size}")
        if layer.media_type == TAR and layer.digest != layer.diff_id:
            raise ImageError(f"layer {layer.digest} is not compressed, yet has another diffID")
    _check_config(image)
    _check_manifest(image)
    if blobs:
        for layer in {layer.digest: layer for layer in image.layers}.values():
            with layer.open_tar() as tar:
                for _ in chunks(tar):
                    pass


def layer_type(media_type: str, what: str) -> str:
    """Return the OCI media type of a layer; raise ImageError for one that we cannot keep."""
    found = DOCKER_LAYER_TYPES.get(media_type, media_type)
    if found in LAYER_TYPES:
        return found
    if "foreign" in media_type or "nondistributable" in media_type:
        raise ImageError(
            f"{what} is a foreign layer ({media_type}), kept outside of the image",
            hint="use an image without foreign layers (they are a thing of Windows images)",
        )
    raise ImageError(
        f"{what} has the unknown type {media_type[:100]!r}",
        hint="layers are tar archives, plain or compressed with gzip or zstd",
    )


def _check_config(image: Image) -> None:
    what = "the image's config"
    config = jsontext.parse_object(image.config_json, what)
    for key in ("architecture", "os"):
        if not jsontext.text(config, key, what):
            raise ImageError(f"{what} does not say its {key}")
    rootfs = jsontext.mapping(config, "rootfs", what)
    if rootfs.get("type") != "layers":
        raise ImageError(f"{what}: rootfs has the type {rootfs.get('type')!r}, not 'layers'")
    if jsontext.texts(rootfs, "diff_ids", what) != [layer.diff_id for layer in image.layers]:
        raise ImageError(f"{what} lists other diffIDs than the layers have")
    history = jsontext.objects(config, "history", what)
    steps = sum(step.get("empty_layer") is not True for step in history)
    if history and steps != len(image.layers):
        raise ImageError(
            f"{what} tells the history of {steps} layers, but there are {len(image.layers)}"
        )


def _check_manifest(image: Image) -> None:
    what = "the image's manifest"
    manifest = jsontext.parse_object(image.manifest_json, what)
    if manifest.get("schemaVersion") != 2:
        raise ImageError(f"{what} has the schema version {manifest.get('schemaVersion')!r}, not 2")
    if manifest.get("mediaType", image.manifest_type) != image.manifest_type or (
        image.manifest_type not in (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)
    ):
        raise ImageError(f"{what} has the type {manifest.get('mediaType')!r}")
    config = jsontext.mapping(manifest, "config", what)
    if (config.get("digest"), config.get("size")) != (image.config_digest, len(image.config_json)):
        raise ImageError(f"{what} names another config than the image has")
    listed = [_layer(item, what) for item in jsontext.objects(manifest, "layers", what)]
    if listed != [(layer.media_type, layer.digest, layer.size) for layer in image.layers]:
        raise ImageError(f"{what} lists other layers than the image has")


def _layer(item: Object, what: str) -> tuple[str, object, object]:
    kind = jsontext.text(item, "mediaType", what)
    return layer_type(kind, f"a layer of {what}"), item.get("digest"), item.get("size")
