"""An OCI layout folder: any number of images that share their blobs.

Format: OCI image-spec v1.1, image-layout.md. A new folder is built beside its
place and renamed. Into a folder that is one already, blobs go first, each
atomically, and index.json is replaced last: a reader sees the old state or the
new one. A lock on the folder keeps two of our writers apart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from slimpack.errors import ImageError, InputError
from slimpack.files import atomic_file, explained, temporary_name
from slimpack.oci import jsontext
from slimpack.oci.archive import (
    CONTAINERD_NAME,
    LAYOUT_FILE,
    REF_NAME,
    index_entries,
    index_json,
    json_blobs,
)
from slimpack.oci.artifact import Artifact
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import chunks
from slimpack.oci.image import CONFIG_TYPE, DOCKER_INDEX_TYPE, INDEX_TYPE
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.jsontext import Object
from slimpack.oci.parse import MAX_MANIFEST
from slimpack.oci.read import check_layout
from slimpack.oci.source import folder_files
from slimpack.oci.tar import Advance
from slimpack.oci.validate import validate


def write_layout(
    target: Deliverable, path: Path, tags: Sequence[str] = (), *, advance: Advance | None = None
) -> None:
    """Write `target` into the layout folder `path`, which is made if it is not there.

    In an existing layout it takes the place of those with the same tags
    (without tags: of the one without a name) and the others stay; blobs that only
    the replaced ones used are removed. advance: called with the bytes of layers
    just written (layers that are there already count too). Raises InputError for
    a folder that holds something else or a bad tag, ImageError for an image that
    is not consistent, SlimpackError when the folder cannot be written; then the
    folder is as it was.
    """
    for image in images_of(target):
        validate(image, blobs=False)
    entries = index_entries(target, tags)
    with explained(path):
        empty = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if empty and _create(target, path, entries, advance):
        return
    if not (path / "oci-layout").is_file():
        raise InputError(
            f"{path} exists and is not an OCI layout",
            hint="choose another folder, or remove what is there",
        )
    with _locked(path):
        _update(target, path, entries, advance)


def write_artifacts(artifacts: Sequence[Artifact], path: Path) -> None:
    """List `artifacts` in the layout folder `path`, beside the images that they tell of.

    One takes the place of an older one of its type about the same manifest. Whoever
    replaces that image drops its artifacts too (`write_layout`). Raises InputError for a
    folder that is no layout, ImageError for an artifact whose subject is not there,
    SlimpackError when the folder cannot be written.
    """
    if not (path / "oci-layout").is_file():
        raise InputError(f"{path} is not an OCI layout", hint="write the image there first")
    with _locked(path):
        listed = _listed(path)
        store = BlobStore(path / "blobs")
        new = [artifact.descriptor() for artifact in artifacts]
        about = set()
        for artifact in artifacts:
            subject = str((artifact.subject or {}).get("digest"))
            if subject not in store:
                raise ImageError(f"{path} does not hold the image {subject} of an artifact")
            about.add((artifact.artifact_type, subject))
            for data in (*(blob.data for blob in artifact.blobs), artifact.manifest_json):
                store.add(data)
        same = [item for item in listed if (_artifact_type(item), _subject(store, item)) in about]
        kept = [item for item in listed if item not in same]
        _write(path / "index.json", index_json(kept + new))
        _drop(store, same, kept + new)


def _create(
    target: Deliverable, path: Path, entries: list[Object], advance: Advance | None
) -> bool:
    """Make a new layout; tell whether nobody else has made one meanwhile."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(path)
        try:
            temporary.mkdir()
            _add_blobs(target, BlobStore(temporary / "blobs"), advance)
            _write(temporary / "oci-layout", LAYOUT_FILE)
            _write(temporary / "index.json", index_json(entries))
            temporary.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return True


def _update(
    target: Deliverable, path: Path, entries: list[Object], advance: Advance | None
) -> None:
    listed = _listed(path)
    names = {_names(entry) for entry in entries}
    images = [entry for entry in listed if not _artifact_type(entry)]
    replaced = [entry for entry in images if _names(entry) in names]
    kept = [entry for entry in images if _names(entry) not in names]

    store = BlobStore(path / "blobs")
    added: list[str] = []
    try:
        _add_blobs(target, store, advance, added)
        artifacts = _still_told_of(store, listed, replaced, kept + entries)
        _write(path / "index.json", index_json(kept + entries + artifacts))
    except BaseException:
        for digest in added:
            store.path(digest).unlink(missing_ok=True)
        raise
    gone = [entry for entry in listed if entry not in kept + artifacts]
    _drop(store, gone, kept + entries + artifacts)


def _listed(path: Path) -> list[Object]:
    files = folder_files(path)
    check_layout(files)
    index = jsontext.parse_object(files.read("index.json", MAX_MANIFEST), "index.json")
    return jsontext.objects(index, "manifests", "index.json")


def _drop(store: BlobStore, gone: list[Object], kept: list[Object]) -> None:
    """Remove the blobs that only the entries `gone` needed."""
    with suppress(ImageError):  # what cannot be read may need any blob
        for digest in _reachable(store, gone) - _reachable(store, kept):
            store.path(digest).unlink(missing_ok=True)


def _still_told_of(
    store: BlobStore, listed: list[Object], replaced: list[Object], staying: list[Object]
) -> list[Object]:
    """Return the listed artifacts but those of manifests that go with the entries `replaced`."""
    artifacts = [entry for entry in listed if _artifact_type(entry)]
    with suppress(ImageError):  # of what cannot be read, nobody knows what it tells of
        going = _reachable(store, replaced) - _reachable(store, staying) if artifacts else set()
        return [entry for entry in artifacts if _subject(store, entry) not in going]
    return artifacts


def _artifact_type(entry: Object) -> str:
    """Return what kind of artifact an entry of index.json is, "" for an image."""
    kind = jsontext.text(entry, "artifactType", "index.json")
    return "" if kind == CONFIG_TYPE else kind


def _subject(store: BlobStore, entry: Object) -> str:
    """Return the digest of what an artifact tells of, "" for nothing that is known."""
    digest = jsontext.text(entry, "digest", "index.json")
    if not _artifact_type(entry) or digest not in store:
        return ""
    subject = jsontext.mapping(_manifest(store, digest), "subject", digest)
    return jsontext.text(subject, "digest", digest)


def _manifest(store: BlobStore, digest: str) -> Object:
    if store.path(digest).stat().st_size > MAX_MANIFEST:
        raise ImageError(f"manifest {digest} is larger than {MAX_MANIFEST} bytes")
    return jsontext.parse_object(store.path(digest).read_bytes(), f"manifest {digest}")


def _names(entry: Object) -> str:
    """Return what an entry of index.json is called, "" if nothing."""
    annotations = jsontext.text_mapping(entry, "annotations", "index.json")
    return annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME, "")


def _add_blobs(
    target: Deliverable, store: BlobStore, advance: Advance | None, added: list[str] | None = None
) -> None:
    """Copy what `store` lacks, verified on the way; list it in `added`."""
    added = [] if added is None else added
    for data in json_blobs(target).values():
        with store.create() as sink:
            sink.write(data)
            if sink.digest not in store:
                added.append(sink.digest)
    layers = {layer.digest: layer for image in images_of(target) for layer in image.layers}
    for layer in layers.values():
        if layer.digest in store and store.path(layer.digest).stat().st_size == layer.size:
            if advance is not None:
                advance(layer.size)
            continue
        with layer.open() as stream, store.create() as sink:
            added.append(layer.digest)
            for data in chunks(stream):
                sink.write(data)
                if advance is not None:
                    advance(len(data))


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


def _write(path: Path, data: bytes) -> None:
    with atomic_file(path) as stream:
        stream.write(data)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the folder; the kernel drops it with the process."""
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
