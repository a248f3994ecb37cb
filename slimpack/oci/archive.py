"""One tar that is two formats at once: OCI layout and docker-archive.

Formats: OCI image-spec v1.1, image-layout.md; and ``docker save`` as Docker 25
and later write it, whose manifest.json points into ``blobs/sha256``. So
``docker load``, ``podman load``, ``ctr import`` and ``skopeo`` all read it.

The small JSON files come first, so that a reader of a stream knows what it has
before the layers arrive. Of an index, readers of docker-archive see the first image:
their format knows of no platforms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from slimpack.files import atomic_file
from slimpack.oci.digest import hex_of
from slimpack.oci.image import INDEX_TYPE
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.names import canonical_name, familiar_name
from slimpack.oci.tar import BLOCK, END, Advance, tar_chunks
from slimpack.oci.validate import validate
from slimpack.tree import Entry, Kind, bytes_entry, directory_entry

LAYOUT_FILE = canonical({"imageLayoutVersion": "1.0.0"})
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def write_archive(
    target: Deliverable, path: Path, tags: Sequence[str] = (), *, advance: Advance | None = None
) -> None:
    """Write `target` to `path` as one tar, named by each of `tags`.

    The same image and tags give the same bytes. The file appears when it is whole;
    an error or Ctrl-C leaves what was there before. advance: called with the
    bytes just written, which add up to ``archive_size(target, tags)``. Raises
    ImageError for an image that is not consistent, InputError for a bad tag,
    SlimpackError when `path` cannot be written.
    """
    members = _members(target, tags)
    with atomic_file(path) as out:
        for data in tar_chunks(members, mtime=0):
            out.write(data)
            if advance is not None:
                advance(len(data))


def archive_chunks(
    target: Deliverable, tags: Sequence[str] = (), *, omit: Collection[str] = ()
) -> Iterator[bytes]:
    """Yield the bytes of `write_archive`, for a daemon that takes them from a stream.

    omit: digests of layers to leave out, because the daemon has them.
    """
    return tar_chunks(_members(target, tags, omit), mtime=0)


def archive_size(
    target: Deliverable, tags: Sequence[str] = (), *, omit: Collection[str] = ()
) -> int:
    """Return how many bytes the archive has, without reading a layer."""
    members = _members(target, tags, omit)
    padded = sum(entry.size + -entry.size % BLOCK + BLOCK for entry in members)
    return padded + len(END)


def index_entries(target: Deliverable, tags: Sequence[str]) -> list[Object]:
    """Return the descriptors of `target` for an index.json: one for each tag, at least one."""
    entries = []
    for tag in tags:
        names = {REF_NAME: familiar_name(tag), CONTAINERD_NAME: canonical_name(tag)}
        entries.append({**target.descriptor(), "annotations": names})
    return entries or [target.descriptor()]


def json_blobs(target: Deliverable) -> dict[str, bytes]:
    """Return the blobs that are JSON, by digest: configs and manifests, and an index's own."""
    found: dict[str, bytes] = {}
    for image in images_of(target):
        found[image.config_digest] = image.config_json
        found[image.digest] = image.manifest_json
    if isinstance(target, Index):
        found[target.digest] = target.manifest_json
    return found


def index_json(manifests: list[Object]) -> bytes:
    """Return the text of an index.json."""
    return canonical({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


def _members(target: Deliverable, tags: Sequence[str], omit: Collection[str] = ()) -> list[Entry]:
    images = images_of(target)
    for image in images:
        validate(image, blobs=False)
    docker_manifest = {
        "Config": _blob(images[0].config_digest),
        "RepoTags": [familiar_name(tag) for tag in tags],
        "Layers": [_blob(layer.digest) for layer in images[0].layers],
    }
    layers = {layer.digest: layer for image in images for layer in image.layers}
    return [
        bytes_entry("oci-layout", LAYOUT_FILE),
        bytes_entry("index.json", index_json(index_entries(target, tags))),
        bytes_entry("manifest.json", canonical([docker_manifest])),
        directory_entry("blobs"),
        directory_entry("blobs/sha256"),
        *(bytes_entry(_blob(digest), data) for digest, data in json_blobs(target).items()),
        *(
            Entry(
                path=_blob(layer.digest),
                kind=Kind.FILE,
                mode=0o644,
                size=layer.size,
                opener=lambda layer=layer: cast("BinaryIO", layer.open()),  # type: ignore[misc]
            )
            for layer in layers.values()
            if layer.digest not in omit
        ),
    ]


def _blob(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"
