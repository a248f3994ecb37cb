"""An OCI layout folder as the far side.

Blobs go in one by one, each with its digest checked and on the disk before it gets its
name; index.json is replaced last. What an interrupted run has brought stays for the next
one, which reads it again to see that it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.bundle.far import Move, Parcel, Sent
from slimpack.bundle.inventory import Inventory
from slimpack.bundle.model import Blob
from slimpack.bundle.rebuild import Held
from slimpack.bundle.shipment import Shipment, Told
from slimpack.bundle.stock import layout_inventory
from slimpack.bundle.supply import Supply
from slimpack.errors import ImageError, InputError
from slimpack.files import explained
from slimpack.oci.archive import REF_NAME, index_entries
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import VerifyingReader, chunks
from slimpack.oci.image import CONFIG_TYPE
from slimpack.oci.jsontext import Object
from slimpack.oci.layout import check_folder, is_empty, locked, new_layout
from slimpack.oci.listing import drop, entry_name, list_entries, listed_entries
from slimpack.progress import Progress, Task

_ATTACHED = "application/vnd.slimpack.attached.v1"
"""Tells an entry of index.json that is no image, where its own type does not."""


@dataclass
class LayoutFar:
    """A layout folder, which need not be there yet.

    _whole: digest -> whether the blob is there, as it should be. _coming: parcels of the plan
    that have not been carried yet. _gone: entries of index.json that were replaced.
    """

    path: Path
    _whole: dict[str, bool] = field(default_factory=dict)
    _coming: int = 0
    _gone: list[Object] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.path)

    def plan(self, shipments: Sequence[Shipment]) -> list[Parcel]:
        """As `Far.plan`. Blobs that are there are read, to see that they are whole."""
        names: dict[str, str] = {}
        if not is_empty(self.path):
            check_folder(self.path)
            for entry in listed_entries(self.path):
                names[entry_name(entry)] = str(entry.get("digest"))
        coming: set[Blob] = set()
        given: dict[str, Shipment] = {}
        parcels = []
        for one in shipments:
            for name in one.names:
                if given.setdefault(name, one) is not one:
                    raise InputError(
                        f"two images would be called {name}",
                        hint="give one of them another name: --rename OLD=NEW",
                    )
            blobs = one.all_blobs
            there = {blob for blob in blobs if blob in coming or self._has(blob.digest)}
            coming.update(blobs)
            digest = one.target.digest
            parcels.append(
                Parcel(
                    one,
                    self.name,
                    tuple(Move(name, names.get(name, ""), digest) for name in one.names),
                    tuple(blob for blob in blobs if blob not in there),
                    tuple(blob for blob in blobs if blob in there),
                )
            )
        self._coming = len(parcels)
        return parcels

    def find(self, place: str, digest: str) -> Held | None:
        """As `Far.find`."""
        store = BlobStore(self.path / "blobs")
        if not self._has(digest):
            return None
        return Held(lambda: store.open(digest), store.path(digest).stat().st_size)

    def carry(self, parcel: Parcel, supply: Supply, progress: Progress) -> Sent:
        """As `Far.carry`. Raises SlimpackError when the folder cannot be written."""
        one, path = parcel.shipment, self.path
        new_layout(path)
        with locked(path), explained(path):
            _sweep(path)
            store = BlobStore(path / "blobs")
            total = sum(blob.size for blob in parcel.lacking)
            with progress.task(f"write {path.name}", total=total) as task:
                sent = sum(self._bring(store, blob, supply, task) for blob in one.all_blobs)
            for data in _jsons(one):
                store.add(data)
            _settle(store.path(one.target.digest).parent)
            entries = index_entries(one.target, one.names)
            self._gone += list_entries(path, entries, [_entry(told) for told in one.documents])
            self._coming -= 1
            if not self._coming:  # until then the others may need what the replaced ones have
                drop(store, self._gone, listed_entries(path))
        return Sent(sent, 0, sum(blob.size for blob in one.all_blobs) - sent)

    def stock(self, parcels: Sequence[Parcel], progress: Progress) -> Inventory:
        """As `Far.stock`: the whole of the layout."""
        return layout_inventory(self.path, progress)

    def _bring(self, store: BlobStore, blob: Blob, supply: Supply, task: Task) -> int:
        """Copy a blob unless it is there, whole; return how many bytes were written."""
        path = store.path(blob.digest)
        if self._has(blob.digest) and path.is_file() and path.stat().st_size == blob.size:
            return 0
        stream = supply.open(blob)
        try:
            with store.create() as sink:
                for data in chunks(stream):
                    sink.write(data)
                    task.advance(len(data))
        finally:
            stream.close()
        self._whole[blob.digest] = True
        return blob.size

    def _has(self, digest: str) -> bool:
        if digest not in self._whole:
            self._whole[digest] = _is_whole(BlobStore(self.path / "blobs").path(digest), digest)
        return self._whole[digest]


def _is_whole(path: Path, digest: str) -> bool:
    """Tell whether the file is there and has the digest."""
    try:
        if not path.is_file():
            return False
        with VerifyingReader(path.open("rb"), digest, None, str(path)) as stream:
            for _ in chunks(stream):
                pass
    except (ImageError, OSError):
        return False
    return True


def _jsons(shipment: Shipment) -> Iterator[bytes]:
    for told in shipment.documents:
        yield told.manifest.data
    for manifest in shipment.manifests:
        yield manifest.data


def _entry(told: Told) -> Object:
    """Return what index.json says of a document: never that it is an image."""
    entry = dict(told.attached.descriptor)
    if entry.get("artifactType") in (None, "", CONFIG_TYPE):
        entry["artifactType"] = _ATTACHED
    if told.attached.tag:
        entry["annotations"] = {**(entry.get("annotations") or {}), REF_NAME: told.attached.tag}
    return entry


def _sweep(path: Path) -> None:
    """Remove what a writer that was killed left; nobody else writes while we have the lock."""
    for left in (*(path / "blobs" / "sha256").glob(".new.*.tmp"), *path.glob(".index.json.*.tmp")):
        left.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """Wait until the names of the blobs are on the disk, before index.json says them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
