"""An image: layers, a config, and the manifest that names both by digest.

Format: OCI image-spec v1.1, manifest.md and config.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from slimpack.errors import ImageError
from slimpack.oci.config import History, ImageConfig, Platform, rfc3339
from slimpack.oci.digest import sha256
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.layer import Layer

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
"""Annotations of a manifest: what the image stands on (image-spec v1.1, annotations.md)."""

MAX_LAYERS = 10_000


@dataclass(frozen=True)
class Image:
    """Layers from the bottom up, and what runs in them.

    history: at least one item for each layer, in their order; empty steps between.
    annotations: of the manifest.
    raw_config, raw_manifest: the exact bytes of an image that was read, so that
        its digests survive; b"" for one that is built here.
    manifest_type: media type of the manifest.
    """

    layers: tuple[Layer, ...]
    config: ImageConfig
    history: tuple[History, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    raw_config: bytes = field(default=b"", repr=False)
    raw_manifest: bytes = field(default=b"", repr=False)
    manifest_type: str = MANIFEST_TYPE

    @cached_property
    def config_json(self) -> bytes:
        """The config file."""
        if self.raw_config:
            return self.raw_config
        diff_ids = [layer.diff_id for layer in self.layers]
        return canonical(self.config.to_json(diff_ids, [step.to_json() for step in self.history]))

    @cached_property
    def config_digest(self) -> str:
        """Digest of the config file; what Docker calls the image id."""
        return sha256(self.config_json)

    @cached_property
    def manifest_json(self) -> bytes:
        """The manifest."""
        if self.raw_manifest:
            return self.raw_manifest
        manifest: Object = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": self.config_digest,
                "size": len(self.config_json),
            },
            "layers": [_descriptor(layer) for layer in self.layers],
        }
        if self.annotations:
            manifest["annotations"] = dict(self.annotations)
        return canonical(manifest)

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest; what registries call the image."""
        return sha256(self.manifest_json)

    @property
    def platform(self) -> Platform:
        """Where the image runs."""
        return self.config.platform

    @property
    def size(self) -> int:
        """Bytes to transfer: manifest, config and each distinct layer once."""
        blobs = {layer.digest: layer.size for layer in self.layers}
        return len(self.manifest_json) + len(self.config_json) + sum(blobs.values())

    def plain(self) -> Image:
        """Return the image with uncompressed layers: same config digest, another manifest."""
        layers = tuple(layer.plain() for layer in self.layers)
        return replace(self, layers=layers, raw_config=self.config_json, raw_manifest=b"")

    def descriptor(self) -> Object:
        """Return the manifest's descriptor for an index, with its platform."""
        platform: Object = {"architecture": self.platform.architecture, "os": self.platform.os}
        if self.platform.variant:
            platform["variant"] = self.platform.variant
        return {
            "mediaType": self.manifest_type,
            "digest": self.digest,
            "size": len(self.manifest_json),
            "platform": platform,
        }


def _descriptor(layer: Layer) -> Object:
    found: Object = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
    return {**found, "annotations": dict(layer.annotations)} if layer.annotations else found


def make_image(
    layers: Sequence[Layer],
    config: ImageConfig,
    *,
    base: Image | None = None,
    annotations: Mapping[str, str] | None = None,
    comment: str = "",
) -> Image:
    """Stack `layers` (bottom up), on `base` if there is one, into an image.

    The base's layers and history stay as they are; its config is merged as
    `ImageConfig.on` says. comment: goes into each of our history items, beside
    the layer's name. Raises InputError for a base of another platform,
    ImageError for more than `MAX_LAYERS` layers.
    """
    below = base.layers if base else ()
    history = _history_of(base) if base else ()
    created = rfc3339(config.created)
    history += tuple(
        History(created=created, created_by=layer.name, comment=comment) for layer in layers
    )
    if len(below) + len(layers) > MAX_LAYERS:
        raise ImageError(f"an image of {len(below) + len(layers)} layers is more than engines take")
    return Image(
        layers=(*below, *layers),
        config=config.on(base.config) if base else config,
        history=history,
        annotations=dict(annotations or {}),
    )


def _history_of(base: Image) -> tuple[History, ...]:
    """Return the base's history, or one made up when it does not cover its layers."""
    if sum(not step.empty for step in base.history) == len(base.layers):
        return base.history
    created = rfc3339(base.config.created)
    return tuple(History(created=created, created_by=layer.name) for layer in base.layers)
