"""What the images of a bundle need, by the JSON that came by, and what each blob is for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from slimpack.bundle.model import MAX_MEMBERS, Attached, Blob, Bundled, Statement
from slimpack.bundle.passing import Update
from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.digest import ByteStream, check_digest
from slimpack.oci.image import CONFIG_TYPE
from slimpack.oci.jsontext import Object
from slimpack.oci.parse import INDEX_TYPES, MAX_CONFIG, MAX_MANIFEST, layer_names, parse_config

_MOST_KEPT = 192 << 20  # bytes of JSON in memory; a manifest has some thousand
_MOST_SPARE = 32 << 20  # of it for what nobody asked for yet
_SPARE = 64 << 10
_DOCUMENTS = {
    "application/vnd.cyclonedx+json": "SBOM (CycloneDX)",
    "application/spdx+json": "SBOM (SPDX)",
    "application/vnd.in-toto+json": "provenance",
}
_IMAGE_CONFIGS = (CONFIG_TYPE, "application/vnd.docker.container.image.v1+json")
_TAGS = {".sig": "signature", ".att": "attestation", ".sbom": "SBOM"}


@dataclass(frozen=True)
class Need:
    """A blob that something in a bundle needs. what: its part in that, for people."""

    blob: Blob
    what: str


class Kept:
    """A witness of the pass that keeps the manifests and configs of images, and nothing else.

    In bundles of our own they follow what names them; small JSON is kept in any case.
    data: what was kept, by digest. layers: digests of what the kept manifests list.
    """

    def __init__(self, statement: Statement) -> None:
        self.data: dict[str, bytes] = {}
        self.layers: set[str] = set()
        self._wanted: set[str] = set()
        self._digests = {blob.path: blob.digest for blob in statement.blobs}
        self._coming = bytearray()
        self._size = 0
        for image in statement.images:
            self._wanted.add(image.digest)
            self._wanted.update(str(one.descriptor["digest"]) for one in image.attached)

    def begin(self, path: str, size: int) -> Update | None:
        """Return what keeps a blob, if it is one of those."""
        digest = self._digests.get(path)
        most = _MOST_KEPT if digest in self._wanted else min(_MOST_SPARE, _MOST_KEPT)
        largest = max(MAX_CONFIG, MAX_MANIFEST) if digest in self._wanted else _SPARE
        self._coming = bytearray()
        if digest is None or size > largest or self._size + size > most:
            return None
        return self._coming.extend

    def reader(self, path: str) -> Callable[[ByteStream], None] | None:
        """Return None: nothing is unpacked."""
        return None

    def end(self, path: str, whole: bool) -> None:
        """Keep what came, if it is whole."""
        digest = self._digests.get(path, "")
        data = bytes(self._coming)
        self._coming = bytearray()
        if not whole or not data or (digest not in self._wanted and not data.startswith(b"{")):
            return
        self.data[digest] = data
        self._size += len(data)
        if digest in self._wanted and len(self._wanted) <= MAX_MEMBERS:
            self._follow(data)

    def _follow(self, data: bytes) -> None:
        """Look at what an index or a manifest names."""
        what = "a manifest"
        try:
            value = jsontext.parse_object(data, what)
            for item in jsontext.objects(value, "manifests", what):
                self._wanted.add(jsontext.text(item, "digest", what))
            config = jsontext.mapping(value, "config", what)
            self._wanted.add(jsontext.text(config, "digest", what))
            if config.get("mediaType") in _IMAGE_CONFIGS:
                for item in jsontext.objects(value, "layers", what):
                    self.layers.add(jsontext.text(item, "digest", what))
        except ImageError:
            return  # told of when the image is looked at


def image_needs(image: Bundled, kept: Mapping[str, bytes]) -> Iterator[Need]:
    """Yield all that an image, or an index of images, needs, and what it is in it.

    Raises ImageError for a manifest that is malformed.
    """
    name = name_of(image)
    waiting = deque([image.descriptor])
    seen: set[str] = set()
    while waiting:
        item = waiting.popleft()
        blob = _blob(item, f"an image of {name}")
        if blob.digest in seen:
            continue
        seen.add(blob.digest)
        if len(seen) > MAX_MEMBERS:
            raise ImageError(f"{name} has more than {MAX_MEMBERS} manifests")
        is_index = item.get("mediaType") in INDEX_TYPES
        data = kept.get(blob.digest)
        value = jsontext.parse_object(data, f"manifest {blob.digest}") if data else {}
        place = name if is_index else f"{name}{_platform(item, value, kept)}"
        yield Need(blob, f"{'index' if is_index else 'manifest'} of {place}")
        if is_index:
            waiting += jsontext.objects(value, "manifests", f"index {blob.digest}")
        elif data:
            yield from _parts(value, place, kept)


def document_needs(image: Bundled, attached: Attached, kept: Mapping[str, bytes]) -> Iterator[Need]:
    """Yield the manifest of a document and what it names. Raises as `image_needs` does."""
    what = f"{_document(attached)} of {name_of(image)}"
    blob = _blob(attached.descriptor, what)
    yield Need(blob, f"manifest of the {what}")
    if blob.digest not in kept:
        return
    value = jsontext.parse_object(kept[blob.digest], f"manifest {blob.digest}")
    config = jsontext.mapping(value, "config", what)
    for item in (*([config] if config else []), *jsontext.objects(value, "layers", what)):
        yield Need(_blob(item, what), what)


def name_of(image: Bundled) -> str:
    """Return what an image is called."""
    return image.names[0] if image.names else image.digest


def _parts(manifest: Object, place: str, kept: Mapping[str, bytes]) -> Iterator[Need]:
    config = _blob(jsontext.mapping(manifest, "config", place), f"the config of {place}")
    yield Need(config, f"config of {place}")
    items = jsontext.objects(manifest, "layers", place)
    names = [""] * len(items)
    if config.digest in kept:
        _, history, _ = parse_config(kept[config.digest], f"the config of {place}")
        names = layer_names(history, items)
    for number, (item, name) in enumerate(zip(items, names, strict=True), 1):
        shown = f"layer {number} of {len(items)}{f' ({name[:80]})' if name else ''} of {place}"
        yield Need(_blob(item, shown), shown)


def _platform(item: Object, manifest: Object, kept: Mapping[str, bytes]) -> str:
    """Return ``, linux/amd64`` for an image that says so, "" for others."""
    platform = jsontext.mapping(item, "platform", "a descriptor")
    if not platform:
        config = jsontext.mapping(manifest, "config", "a manifest")
        data = kept.get(jsontext.text(config, "digest", "a manifest"))
        platform = jsontext.parse_object(data, "a config") if data else {}
    words = [platform.get(key) for key in ("os", "architecture", "variant")]
    known = [word for word in words if isinstance(word, str) and word]
    return f", {'/'.join(known)[:80]}" if known else ""


def _document(attached: Attached) -> str:
    for suffix, what in _TAGS.items():
        if attached.tag.endswith(suffix):
            return what
    kind = attached.descriptor.get("artifactType")
    return _DOCUMENTS.get(str(kind), f"document {str(kind)[:80]}" if kind else "document")


def _blob(item: Object, what: str) -> Blob:
    return Blob(check_digest(item.get("digest"), what), jsontext.number(item, "size", what))
