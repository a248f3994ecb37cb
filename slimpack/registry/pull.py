"""Pulling an image, or all images of an index.

Manifests and configs are read at once and kept by digest; layers are downloaded when they
are first opened, or all together by `prefetch`. What is named by a digest that is kept
needs no registry at all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.digest import check_digest
from slimpack.oci.image import INDEX_TYPE, MANIFEST_TYPE, Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.jsontext import Object
from slimpack.oci.layer import Source
from slimpack.oci.parse import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG,
    MAX_MANIFEST,
    MAX_MANIFESTS,
    check_blob,
    is_attestation,
    parse_image,
    parse_index,
    parse_manifest,
)
from slimpack.oci.validate import validate
from slimpack.progress import SILENT, Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.download import Kept, RemoteLayer, sweep_store
from slimpack.registry.parallel import run_all
from slimpack.registry.reference import Reference

_MAX_DEPTH = 4


@dataclass(frozen=True)
class _Found:
    """A manifest or index. kind: its media type."""

    data: bytes
    kind: str
    parsed: Object


def pull(
    reference: Reference,
    registries: Registries,
    *,
    blobs: BlobStore,
    platform: Platform | None = None,
    prefer: Platform | None = None,
    progress: Progress = SILENT,
) -> Image:
    """Return the image that `reference` names; its layers are downloaded into `blobs`.

    platform: which one of an index; an image without index must be for it as well.
    prefer: which one of an index when no platform is asked for. Raises InputError when
    there is none for the platform, or several and nothing chooses; RegistryError and
    ImageError. Layers are usable as long as `registries` is.
    """
    puller = _Puller(_kept(reference, registries, blobs, progress))
    top = puller.find(reference)
    if top.kind in INDEX_TYPES:
        top = puller.choose(reference, top, platform, prefer)
    image = puller.image(top)
    if platform is not None and not platform.matches(image.platform):
        raise InputError(
            f"{reference} is for {image.platform}, not for {platform}",
            hint="choose another image, or another --platform",
        )
    return image


def pull_all(
    reference: Reference,
    registries: Registries,
    *,
    blobs: BlobStore,
    progress: Progress = SILENT,
) -> Deliverable:
    """Return the index that `reference` names, or its image if it is no index.

    What an index lists beside images (BuildKit's attestations) is left out; then the
    index is another one, and a note says so. Raises as `pull` does.
    """
    puller = _Puller(_kept(reference, registries, blobs, progress))
    top = puller.find(reference)
    if top.kind in MANIFEST_TYPES:
        return puller.image(top)
    found = [puller.image(puller.listed(item)) for item in puller.items(top)]
    index = parse_index(top.data, top.kind, found)
    if not index.raw_json:
        progress.note(f"{reference}: only the images of its index are copied; its digest changes")
    return index


def prefetch(target: Deliverable, registries: Registries, progress: Progress = SILENT) -> None:
    """Download the layers of what was pulled, several at a time.

    Raises RegistryError and ImageError; after an error `registries` is of no use any more.
    """
    layers = {layer.digest: layer for image in images_of(target) for layer in image.layers}
    sources = [layer.source for layer in layers.values()]
    missing = [one for one in sources if isinstance(one, RemoteLayer) and not one.is_here()]
    if not missing:
        return
    lock = threading.Lock()
    with progress.task("pull", total=sum(one.size for one in missing)) as task:

        def advance(amount: int) -> None:
            with lock:
                task.advance(amount)

        jobs = [partial(one.kept.fetch, one.digest, one.size, advance) for one in missing]
        run_all(jobs, stop=registries.stop)


def _kept(
    reference: Reference, registries: Registries, blobs: BlobStore, progress: Progress
) -> Kept:
    sweep_store(blobs)
    return Kept(registries.of(reference.host), reference.repository, blobs, progress)


@dataclass(frozen=True)
class _Puller:
    kept: Kept

    def find(self, reference: Reference) -> _Found:
        """Return what a reference names; a tag is looked up anew each time."""
        registry, repository = self.kept.registry, reference.repository
        digest = reference.digest
        if not digest and (head := registry.head_manifest(repository, reference.tag)):
            digest = head.digest if head.digest.startswith("sha256:") else ""
        data = self.kept.cached(digest, MAX_MANIFEST) if digest else None
        said = ""
        if data is None:
            manifest = registry.get_manifest(repository, digest or reference.tag)
            data, said = manifest.data, manifest.media_type
            self.kept.store.add(data)
        return _found(data, said, str(reference))

    def choose(
        self, reference: Reference, top: _Found, wanted: Platform | None, prefer: Platform | None
    ) -> _Found:
        """Return the manifest of an index that is for a platform; of several the first."""
        items = [(item, _platform(item)) for item in self.items(top)]
        there = ", ".join(dict.fromkeys(str(platform) for _, platform in items if platform))
        asked = wanted or (prefer if len(items) > 1 else None)
        fitting = [
            item for item, platform in items if not asked or not platform or asked.matches(platform)
        ]
        if not fitting:
            raise InputError(
                f"{reference} has no image for {asked}",
                hint=f"it has them for {there}; choose with --platform" if there else "it is empty",
            )
        if len(fitting) > 1 and asked is None:
            raise InputError(
                f"{reference} has {len(fitting)} images: {there}", hint="choose with --platform"
            )
        return self.listed(fitting[0])

    def items(self, index: _Found) -> list[Object]:
        """Return the descriptors of images in an index and those nested in it."""
        found: list[Object] = []
        for item in self._walk(index, 0):
            found.append(item)
            if len(found) > MAX_MANIFESTS:
                raise ImageError(f"an index lists more than {MAX_MANIFESTS} images")
        return found

    def _walk(self, index: _Found, depth: int) -> Iterator[Object]:
        if depth > _MAX_DEPTH:
            raise ImageError(f"indexes are nested more than {_MAX_DEPTH} deep")
        for item in jsontext.objects(index.parsed, "manifests", "index"):
            if is_attestation(item):
                continue
            if jsontext.text(item, "mediaType", "index") in INDEX_TYPES:
                yield from self._walk(self.listed(item), depth + 1)
            else:
                yield item

    def listed(self, item: Object) -> _Found:
        """Return the manifest that a descriptor names."""
        digest = check_digest(item.get("digest"), "index")
        size = jsontext.number(item, "size", f"manifest {digest}")
        kind = jsontext.text(item, "mediaType", "index")
        data = self.kept.cached(digest, MAX_MANIFEST)
        if data is None:
            data = self.kept.registry.get_manifest(self.kept.repository, digest).data
            self.kept.store.add(data)
        check_blob(data, {"digest": digest, "size": size}, "manifest")
        return _Found(data, kind, parse_manifest(data, kind, f"manifest {digest}"))

    def image(self, found: _Found) -> Image:
        """Return the image of a manifest."""
        config = jsontext.mapping(found.parsed, "config", "manifest")
        digest = check_digest(config.get("digest"), "config")
        size = jsontext.number(config, "size", f"config {digest}")
        raw = check_blob(self.kept.small(digest, size, MAX_CONFIG), config, "config")
        image = parse_image(found.data, found.parsed, found.kind, raw, self._source)
        validate(image, blobs=False)
        return image

    def _source(self, digest: str, size: int) -> Source:
        return RemoteLayer(self.kept, digest, size)


def _found(data: bytes, said: str, what: str) -> _Found:
    """Tell what a manifest is; one without a media type by what the registry said of it."""
    parsed = jsontext.parse_object(data, what)
    kind = jsontext.text(parsed, "mediaType", what)
    if not kind and said in (*INDEX_TYPES, *MANIFEST_TYPES):
        kind = said
    if not kind:
        kind = INDEX_TYPE if "manifests" in parsed else MANIFEST_TYPE
    if parsed.get("schemaVersion") == 1:
        raise ImageError(
            f"{what} is an image in Docker's schema 1",
            hint="push it again with any Docker since 2016",
        )
    return _Found(data, kind, parse_manifest(data, kind, what))


def _platform(item: Object) -> Platform | None:
    data = jsontext.mapping(item, "platform", "index")
    names = [jsontext.text(data, key, "index") for key in ("os", "architecture", "variant")]
    return Platform(*names) if names[0] and names[1] else None
