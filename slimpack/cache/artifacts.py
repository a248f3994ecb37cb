"""How a registry keeps a cache: small manifests under tags that follow from the keys.

Format: OCI image-spec v1.1, manifest.md, 'Guidelines for Artifact Usage'. The manifest of
a layer has the layer's very blob as its only layer, so that the registry's garbage
collection keeps it and an image's repository can mount it; annotations hold the record.
That of a memo has its data, compressed. Whoever may write to the repository may have
written anything, so all of it is checked here.
"""

from __future__ import annotations

from dataclasses import dataclass

from slimpack.cache.record import LayerRecord, check_record
from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.artifact import EMPTY, EMPTY_TYPE
from slimpack.oci.digest import check_digest, sha256
from slimpack.oci.image import MANIFEST_TYPE
from slimpack.oci.jsontext import Object, canonical, parse_object

LAYER_ARTIFACT = "application/vnd.slimpack.cache.layer.v1"
MEMO_ARTIFACT = "application/vnd.slimpack.cache.memo.v1"
MEMO_TYPE = "application/vnd.slimpack.cache.memo.v1+zstd"
MAX_MEMO = 64 << 20
"""Bytes of a memo's blob."""

_KEY = "slimpack.cache.key"
_KIND = "slimpack.cache.kind"
_DIFF_ID = "slimpack.cache.diff-id"
_UNPACKED = "slimpack.cache.unpacked-size"
_TITLE = "org.opencontainers.image.title"
_HEX_IN_TAG = 40  # of 128 characters that a tag may have; the whole key is in the manifest


@dataclass(frozen=True)
class MemoBlob:
    """Where the data of a memo is: its blob, compressed."""

    digest: str
    size: int


def layer_tag(key: str) -> str:
    """Return the tag of a layer's manifest."""
    return f"layer-{key[:_HEX_IN_TAG]}"


def memo_tag(kind: str, key: str) -> str:
    """Return the tag of a memo's manifest."""
    return f"memo-{kind}-{key[:_HEX_IN_TAG]}"


def layer_manifest(key: str, record: LayerRecord, name: str) -> bytes:
    """Return the manifest of a layer. name: for people who look into the repository."""
    blob: Object = {
        "mediaType": record.media_type,
        "digest": record.digest,
        "size": record.size,
    }
    if record.annotations:
        blob["annotations"] = dict(record.annotations)
    annotations = {
        _KEY: key,
        _DIFF_ID: record.diff_id,
        _UNPACKED: str(record.unpacked_size),
        _TITLE: name,
    }
    return _manifest(LAYER_ARTIFACT, blob, annotations)


def memo_manifest(kind: str, key: str, blob: MemoBlob) -> bytes:
    """Return the manifest of a memo."""
    layer: Object = {"mediaType": MEMO_TYPE, "digest": blob.digest, "size": blob.size}
    return _manifest(MEMO_ARTIFACT, layer, {_KEY: key, _KIND: kind})


def read_layer_manifest(data: bytes, key: str, what: str) -> LayerRecord:
    """Return the record in a manifest.

    Raises ImageError, naming `what`, for another key's and for what cannot be.
    """
    blob, annotations = _read(data, LAYER_ARTIFACT, key, what)
    unpacked = annotations.get(_UNPACKED, "")
    if not (unpacked.isascii() and unpacked.isdecimal() and len(unpacked) < 20):
        raise ImageError(f"{what}: {_UNPACKED} is not a number")
    record = LayerRecord(
        media_type=jsontext.text(blob, "mediaType", what),
        digest=check_digest(blob.get("digest"), what),
        size=jsontext.number(blob, "size", what),
        diff_id=check_digest(annotations.get(_DIFF_ID), what),
        unpacked_size=int(unpacked),
        annotations=jsontext.text_mapping(blob, "annotations", what),
    )
    return check_record(record, what)


def read_memo_manifest(data: bytes, kind: str, key: str, what: str) -> MemoBlob:
    """Return where a memo's data is. Raises ImageError as `read_layer_manifest` does."""
    blob, annotations = _read(data, MEMO_ARTIFACT, key, what)
    if annotations.get(_KIND) != kind:
        raise ImageError(f"{what} is of another kind")
    found = MemoBlob(check_digest(blob.get("digest"), what), jsontext.number(blob, "size", what))
    if jsontext.text(blob, "mediaType", what) != MEMO_TYPE or found.size > MAX_MEMO:
        raise ImageError(f"{what} is none, or larger than the {MAX_MEMO} bytes allowed")
    return found


def _manifest(artifact_type: str, blob: Object, annotations: dict[str, str]) -> bytes:
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": sha256(EMPTY), "size": len(EMPTY)},
            "layers": [blob],
            "annotations": annotations,
        }
    )


def _read(data: bytes, artifact_type: str, key: str, what: str) -> tuple[Object, dict[str, str]]:
    manifest = parse_object(data, what)
    layers = jsontext.objects(manifest, "layers", what)
    if manifest.get("artifactType") != artifact_type or len(layers) != 1:
        raise ImageError(f"{what} is not what slimpack keeps there")
    annotations = jsontext.text_mapping(manifest, "annotations", what)
    if annotations.get(_KEY) != key:
        raise ImageError(f"{what} belongs to another key")
    return layers[0], annotations
