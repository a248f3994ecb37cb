"""What is known of a layer without its bytes, and the key that it is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

from slimpack.errors import ImageError
from slimpack.oci.compress import Compression
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import check_digest
from slimpack.oci.jsontext import canonical, number, parse_object, text, text_mapping
from slimpack.oci.layer import LAYER_TYPES, Layer, Source
from slimpack.oci.tar import FORMAT
from slimpack.tree import Entry, Kind

MAX_RECORD = 4096
"""Bytes that the JSON text of a record may have."""

_FIELDS = 8


@dataclass(frozen=True)
class LayerRecord:
    """A layer as `slimpack.oci.layer.Layer` describes it, without a name and without bytes."""

    media_type: str
    digest: str
    size: int
    diff_id: str
    unpacked_size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def json(self) -> bytes:
        """The record as a text that `read_record` reads."""
        return canonical(asdict(self))

    def layer(self, name: str, source: Source) -> Layer:
        """Return the layer, with bytes from `source`."""
        return Layer(
            media_type=self.media_type,
            digest=self.digest,
            size=self.size,
            diff_id=self.diff_id,
            source=source,
            unpacked_size=self.unpacked_size,
            name=name,
            annotations=self.annotations,
        )


def record_of(layer: Layer) -> LayerRecord:
    """Return what is kept of a layer; its unpacked size must be known (ValueError)."""
    if layer.unpacked_size is None:
        raise ValueError(f"the unpacked size of layer {layer.digest} is unknown")
    return LayerRecord(
        layer.media_type,
        layer.digest,
        layer.size,
        layer.diff_id,
        layer.unpacked_size,
        dict(layer.annotations),
    )


def read_record(data: bytes, what: str) -> LayerRecord:
    """Return the record in `data`, which anybody may have written.

    Raises ImageError, naming `what`, unless every value is there and possible.
    """
    if len(data) > MAX_RECORD:
        raise ImageError(f"{what} has {len(data)} bytes, more than the {MAX_RECORD} allowed")
    found = parse_object(data, what)
    record = LayerRecord(
        media_type=text(found, "media_type", what),
        digest=check_digest(found.get("digest"), what),
        size=number(found, "size", what),
        diff_id=check_digest(found.get("diff_id"), what),
        unpacked_size=number(found, "unpacked_size", what),
        annotations=text_mapping(found, "annotations", what),
    )
    return check_record(record, what)


def check_record(record: LayerRecord, what: str) -> LayerRecord:
    """Return a record with valid digests if its other values are possible, too.

    Raises ImageError, naming `what`, otherwise.
    """
    if record.media_type not in LAYER_TYPES:
        raise ImageError(f"{what}: {record.media_type[:100]!r} is no layer's media type")
    if not (0 < record.size <= MAX_UNPACKED and 0 < record.unpacked_size <= MAX_UNPACKED):
        raise ImageError(f"{what} has a size that no layer has")
    notes = record.annotations
    if (
        not isinstance(notes, Mapping)
        or sum(len(k) + len(v) for k, v in notes.items()) > MAX_RECORD
    ):
        raise ImageError(f"{what} has annotations that no layer has")
    return record


def layer_key(entries: Collection[Entry], *, mtime: int, compression: Compression) -> str | None:
    """Return what a layer of `entries` is known by: 64 hex digits.

    It covers all that the bytes of the blob follow from, and so none of the bytes
    themselves: contents are told by `Entry.identity`. None when a file has none.
    entries, mtime: as for `slimpack.oci.layer.build_layer`, in a fixed order.
    """
    # _value_ is what .value is, without the property: this runs for every file of an image.
    parts = [f"layer 1, tar {FORMAT}, {mtime}, {compression.key}"]
    if compression.chunked:
        first = "\0".join(sorted(one.path for one in entries if one.path in compression.first))
        digest = hashlib.sha256(first.encode("utf-8", "surrogatepass")).hexdigest()
        parts[0] += f", first {digest}"
    for entry in entries:
        identity = entry.identity
        if not identity and entry.kind is Kind.FILE:
            return None
        parts.append(
            f"{entry.path}\0{entry.kind._value_}\0{entry.mode}\0{entry.uid}\0{entry.gid}"
            f"\0{entry.size}\0{entry.link}\0{identity}"
        )
    joined = "\0".join(parts)
    if joined.count("\0") != (len(parts) - 1) * _FIELDS:
        return None  # something holds a separator: two lists of entries could look alike
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()
