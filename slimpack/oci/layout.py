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
from contextlib import contextmanager
from pathlib import Path

from slimpack.errors import ImageError, InputError
from slimpack.files import explained, temporary_name
from slimpack.oci.archive import LAYOUT_FILE, index_entries, index_json, json_blobs
from slimpack.oci.artifact import Artifact
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import chunks
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.jsontext import Object
from slimpack.oci.listing import (
    artifact_type,
    drop,
    entry_name,
    list_instead,
    listed_entries,
    subject_of,
    write_whole,
)
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
    if is_empty(path) and _create(target, path, entries, advance):
        return
    check_folder(path)
    with locked(path):
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
    with locked(path):
        listed = listed_entries(path)
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
        same = [item for item in listed if (artifact_type(item), subject_of(store, item)) in about]
        kept = [item for item in listed if item not in same]
        write_whole(path / "index.json", index_json(kept + new))
        drop(store, same, kept + new)


def new_layout(path: Path) -> None:
    """Make a layout without images, unless there is one. Raises as `write_layout` does."""
    if is_empty(path):
        _create(None, path, [], None)
    check_folder(path)


def is_empty(path: Path) -> bool:
    """Tell whether there is nothing yet, or a folder with nothing in it."""
    with explained(path):
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def check_folder(path: Path) -> None:
    """Raise InputError unless the folder is an OCI layout."""
    if not (path / "oci-layout").is_file():
        raise InputError(
            f"{path} exists and is not an OCI layout",
            hint="choose another folder, or remove what is there",
        )


def _create(
    target: Deliverable | None, path: Path, entries: list[Object], advance: Advance | None
) -> bool:
    """Make a new layout; tell whether nobody else has made one meanwhile."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(path)
        try:
            temporary.mkdir()
            if target is not None:
                _add_blobs(target, BlobStore(temporary / "blobs"), advance)
            write_whole(temporary / "oci-layout", LAYOUT_FILE)
            write_whole(temporary / "index.json", index_json(entries))
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
    listed = listed_entries(path)
    store = BlobStore(path / "blobs")
    added: list[str] = []
    try:
        _add_blobs(target, store, advance, added)
        kept = list_instead(path, listed, entries, key=entry_name)
    except BaseException:
        for digest in added:
            store.path(digest).unlink(missing_ok=True)
        raise
    drop(store, [entry for entry in listed if entry not in kept], kept)


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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the folder; the kernel drops it with the process."""
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
