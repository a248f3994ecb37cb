"""One tar that is two formats at once: OCI layout and docker-archive.

Formats: OCI image-spec v1.1, image-layout.md; and ``docker save`` as Docker 25
and later write it, whose manifest.json points into ``blobs/sha256``. So
``docker load``, ``podman load``, ``ctr import`` and ``skopeo`` all read it.

The small JSON files come first, so that a reader of a stream knows what it has
before the layers arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from slimpack.files import atomic_file
from slimpack.oci.digest import hex_of
from slimpack.oci.image import INDEX_TYPE, Image
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.names import canonical_name, familiar_name
from slimpack.oci.tar import BLOCK, END, Advance, tar_chunks
from slimpack.oci.validate import validate
from slimpack.tree import Entry, Kind, bytes_entry, directory_entry

LAYOUT_FILE = canonical({"imageLayoutVersion": "1.0.0"})
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def write_archive(
    image: Image, path: Path, tags: Sequence[str] = (), *, advance: Advance | None = None
) -> None:
    """Write `image` to `path` as one tar, named by each of `tags`.

    The same image and tags give the same bytes. The file appears when it is whole;
    an error or Ctrl-C leaves what was there before. advance: called with the
    bytes just written, which add up to ``archive_size(image, tags)``. Raises
    ImageError for an image that is not consistent, InputError for a bad tag,
    SlimpackError when `path` cannot be written.
    """
    members = _members(image, tags)
    with atomic_file(path) as out:
        for data in tar_chunks(members, mtime=0):
            out.write(data)
            if advance is not None:
                advance(len(data))


def archive_chunks(
    image: Image, tags: Sequence[str] = (), *, omit: Collection[str] = ()
) -> Iterator[bytes]:
    """Yield the bytes of `write_archive`, for a daemon that takes them from a stream.

    omit: digests of layers to leave out, because the daemon has them.
    """
    return tar_chunks(_members(image, tags, omit), mtime=0)


def archive_size(image: Image, tags: Sequence[str] = (), *, omit: Collection[str] = ()) -> int:
    """Return how many bytes the archive has, without reading a layer."""
    members = _members(image, tags, omit)
    padded = sum(entry.size + -entry.size % BLOCK + BLOCK for entry in members)
    return padded + len(END)


def index_entries(image: Image, tags: Sequence[str]) -> list[Object]:
    """Return the descriptors of `image` for an index.json: one for each tag, at least one."""
    entries = []
    for tag in tags:
        names = {REF_NAME: familiar_name(tag), CONTAINERD_NAME: canonical_name(tag)}
        entries.append({**image.descriptor(), "annotations": names})
    return entries or [image.descriptor()]


def index_json(manifests: list[Object]) -> bytes:
    """Return the text of an index.json."""
    return canonical({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


def _members(image: Image, tags: Sequence[str], omit: Collection[str] = ()) -> list[Entry]:
    validate(image, blobs=False)
    blobs = {image.config_digest: image.config_json, image.digest: image.manifest_json}
    docker_manifest = {
        "Config": _blob(image.config_digest),
        "RepoTags": [familiar_name(tag) for tag in tags],
        "Layers": [_blob(layer.digest) for layer in image.layers],
    }
    layers = {layer.digest: layer for layer in image.layers}
    return [
        bytes_entry("oci-layout", LAYOUT_FILE),
        bytes_entry("index.json", index_json(index_entries(image, tags))),
        bytes_entry("manifest.json", canonical([docker_manifest])),
        directory_entry("blobs"),
        directory_entry("blobs/sha256"),
        *(bytes_entry(_blob(digest), data) for digest, data in blobs.items()),
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
