"""What index.json of an OCI layout folder lists, and the blobs that nothing in it needs.

Format: OCI image-spec v1.1, image-layout.md, 'index.json file'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from slimpack.errors import ImageError
from slimpack.files import atomic_file
from slimpack.oci import jsontext
from slimpack.oci.archive import CONTAINERD_NAME, REF_NAME, index_json
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import CONFIG_TYPE, DOCKER_INDEX_TYPE, INDEX_TYPE
from slimpack.oci.jsontext import Object
from slimpack.oci.parse import MAX_MANIFEST
from slimpack.oci.read import check_layout
from slimpack.oci.source import folder_files

# What cosign keeps has no subject, and a name that tells.
_TELLING_TAG = re.compile(r"sha256-([0-9a-f]{64})\.")


def list_entries(
    path: Path, entries: list[Object], artifacts: Sequence[Object] = ()
) -> list[Object]:
    """List `entries`, whose blobs are there, in a layout; return those that they replace.

    They replace those of their names; those without a name replace themselves alone.
    artifacts: descriptors of what tells of them, listed beside what is told of them already.
    The caller holds the lock (`slimpack.oci.layout.locked`), and removes the blobs of the
    replaced ones (`drop`). Raises ImageError for an index.json that is malformed,
    SlimpackError when it cannot be written; then it is as it was.
    """
    listed = listed_entries(path)
    kept = list_instead(path, listed, entries, artifacts, key=_name_or_digest)
    return [entry for entry in listed if entry not in kept]


def list_instead(
    path: Path,
    listed: list[Object],
    entries: list[Object],
    artifacts: Sequence[Object] = (),
    *,
    key: Callable[[Object], str],
) -> list[Object]:
    """Write an index.json with `entries` in the place of their namesakes; return what it lists."""
    names = set(map(key, entries))
    images = [entry for entry in listed if not artifact_type(entry)]
    replaced = [entry for entry in images if key(entry) in names]
    kept = [entry for entry in images if key(entry) not in names] + entries
    told = _still_told_of(BlobStore(path / "blobs"), listed, replaced, kept)
    new = {str(entry["digest"]) for entry in artifacts}
    told = [entry for entry in told if entry.get("digest") not in new]
    write_whole(path / "index.json", index_json([*kept, *told, *artifacts]))
    return [*kept, *told, *artifacts]


def listed_entries(path: Path) -> list[Object]:
    """Return the descriptors in index.json. Raises ImageError for what is malformed."""
    files = folder_files(path)
    check_layout(files)
    index = jsontext.parse_object(files.read("index.json", MAX_MANIFEST), "index.json")
    return jsontext.objects(index, "manifests", "index.json")


def drop(store: BlobStore, gone: list[Object], kept: list[Object]) -> None:
    """Remove the blobs that only the entries `gone` needed."""
    with suppress(ImageError):  # what cannot be read may need any blob
        for digest in _reachable(store, gone) - _reachable(store, kept):
            store.path(digest).unlink(missing_ok=True)


def _still_told_of(
    store: BlobStore, listed: list[Object], replaced: list[Object], staying: list[Object]
) -> list[Object]:
    """Return the listed artifacts but those of manifests that go with the entries `replaced`."""
    artifacts = [entry for entry in listed if artifact_type(entry)]
    with suppress(ImageError):  # of what cannot be read, nobody knows what it tells of
        going = _reachable(store, replaced) - _reachable(store, staying) if artifacts else set()
        return [entry for entry in artifacts if subject_of(store, entry) not in going]
    return artifacts


def artifact_type(entry: Object) -> str:
    """Return what kind of artifact an entry of index.json is, "" for an image."""
    kind = jsontext.text(entry, "artifactType", "index.json")
    return "" if kind == CONFIG_TYPE else kind


def subject_of(store: BlobStore, entry: Object) -> str:
    """Return the digest of what an artifact tells of, "" for nothing that is known."""
    digest = jsontext.text(entry, "digest", "index.json")
    if not artifact_type(entry) or digest not in store:
        return ""
    subject = jsontext.mapping(_manifest(store, digest), "subject", digest)
    tag = _TELLING_TAG.match(entry_name(entry))
    return jsontext.text(subject, "digest", digest) or (f"sha256:{tag[1]}" if tag else "")


def _manifest(store: BlobStore, digest: str) -> Object:
    if store.path(digest).stat().st_size > MAX_MANIFEST:
        raise ImageError(f"manifest {digest} is larger than {MAX_MANIFEST} bytes")
    return jsontext.parse_object(store.path(digest).read_bytes(), f"manifest {digest}")


def entry_name(entry: Object) -> str:
    """Return what an entry of index.json is called, "" if nothing."""
    annotations = jsontext.text_mapping(entry, "annotations", "index.json")
    return annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME, "")


def _name_or_digest(entry: Object) -> str:
    return entry_name(entry) or jsontext.text(entry, "digest", "index.json")


def _reachable(store: BlobStore, entries: Sequence[Object]) -> set[str]:
    """Return the digests of all blobs that `entries` need, their own included."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        entry = waiting.pop()
        digest = jsontext.text(entry, "digest", "index.json")
        if digest in found or digest not in store:
            continue
        found.add(digest)
        kind = jsontext.text(entry, "mediaType", "index.json")
        if kind in (INDEX_TYPE, DOCKER_INDEX_TYPE) or "manifest" in kind:
            manifest = _manifest(store, digest)
            waiting += jsontext.objects(manifest, "manifests", digest)
            waiting += jsontext.objects(manifest, "layers", digest)
            waiting.append(jsontext.mapping(manifest, "config", digest))
    return found


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file that is whole or not there."""
    with atomic_file(path) as stream:
        stream.write(data)
