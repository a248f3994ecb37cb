"""Layers that need not be made again, by what their bytes follow from.

What is kept are records (digest, diffID, sizes) by `layer_key`, and blobs by digest.
A record is enough to write an image's manifest, and to push a layer that the registry
has; so a layer that did not change costs one small file to read, and records outlive
the blobs. Where bytes are needed and not there, they are made again, and have to be
the same.

No locks: a blob may be removed at any time, by another build that needs the place or
by `slimpack cache prune`. Who has it open keeps it, who has not makes it again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from slimpack.cache.folders import Cache
from slimpack.cache.limits import make_room
from slimpack.cache.memo import Memo
from slimpack.cache.notes import CacheNotes, is_full, is_unwritable
from slimpack.cache.record import LayerRecord, read_record, record_of
from slimpack.errors import ImageError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import ByteStream, chunks
from slimpack.oci.layer import Layer

MakeLayer = Callable[[BlobStore], Layer]
"""Makes a layer with its blob in that store (`slimpack.oci.layer.build_layer`)."""

T = TypeVar("T")

_KIND = "layer"


class FarLayers(Protocol):
    """Layers in another place, such as a registry. No method raises because of that place."""

    def find(self, keys: Iterable[str]) -> None:
        """Look several keys up at once, so that `get` need not ask for each."""

    def get(self, key: str) -> LayerRecord | None:
        """Return what is known there under a key, None for nothing."""

    def fetch(self, key: str, record: LayerRecord, blobs: BlobStore) -> bool:
        """Store the blob in `blobs`; tell whether it is there now, and right."""


class LayerCache:
    """The layers of earlier builds, for one build; safe for any number of threads.

    spare: where blobs go that nobody can look up, and all of them when the cache
        cannot be written; a folder of the build's own.
    far: asked for what is not known here.
    Trouble with the cache's files is a note in `notes`, never an error.
    """

    def __init__(
        self,
        cache: Cache,
        spare: BlobStore,
        *,
        notes: CacheNotes | None = None,
        far: FarLayers | None = None,
    ) -> None:
        self.notes = notes or CacheNotes()
        self.blobs = BlobStore(cache.blobs, durable=False)
        self.written = 0
        """Bytes of blobs that were added to the cache."""
        self.used: dict[str, Layer] = {}
        """The layers that were given out, by key."""
        self.made: set[str] = set()
        """The keys of those that were made, because nobody knew them."""
        self._cache = cache
        self._spare = spare
        self._far = far
        self._records = Memo(cache.records, self.notes)
        self._wrong: set[str] = set()  # damaged, but not ours to remove
        self._lent: set[str] = set()  # that nobody here can make again
        self._making = threading.Lock()
        self._counting = threading.Lock()

    def get(self, key: str) -> LayerRecord | None:
        """Return what is known of the layer with that key, here or far away."""
        data = self._records.get(_KIND, key)
        if data is not None:
            try:
                return read_record(data, f"the record {key}")
            except ImageError:
                self._records.remove(_KIND, key)
        record = self._far.get(key) if self._far else None
        if record is not None:
            self._records.put(_KIND, key, record.json)
        return record

    def put(self, key: str, layer: Layer) -> None:
        """Keep what is known of a layer, whose unpacked size must be known."""
        self._records.put(_KIND, key, record_of(layer).json)

    def find(self, keys: Iterable[str]) -> None:
        """Look up far away, at once, what is not known here."""
        if self._far:
            self._far.find(key for key in keys if not self._records.path(_KIND, key).exists())

    def has(self, record: LayerRecord) -> bool:
        """Tell whether the bytes seem to be here, and count that as a use of them."""
        return _present(self.blobs.path(record.digest), record.size)

    def lend(self, record: LayerRecord, name: str) -> Layer:
        """Return a layer of which only the blob is known, and nobody who could make it again.

        When it is damaged, or gone, `recheck` tells, and the build has to start over.
        """
        path = self.blobs.path(record.digest)
        self._lent.add(record.digest)
        return record.layer(name, lambda: path.open("rb"))

    def missing(self) -> dict[str, LayerRecord]:
        """Return the layers that were given out and whose bytes are not here, by key."""
        records = {key: record_of(layer) for key, layer in list(self.used.items())}
        return {key: record for key, record in records.items() if not self.has(record)}

    def fetch(self, key: str, record: LayerRecord) -> bool:
        """Bring a layer's bytes from far away; tell whether they are here now."""
        if self._far is None or not self._far.fetch(key, record, self.blobs):
            return False
        self._count(record.size)
        return True

    def layer_for(self, key: str | None, name: str, make: MakeLayer) -> Layer:
        """Return the layer with that key: as it is known, or else made.

        key: see `layer_key`; None is never known. A layer that is known reads no blob;
        `make` may be called at any later time, by any thread, when its bytes are needed.
        Raises what `make` does.
        """
        if key is None:
            return make(self._spare)
        record = self.get(key)
        if record is None:
            record = record_of(self._make(make))
            self._records.put(_KIND, key, record.json)
            self.made.add(key)
        else:
            self.has(record)
        layer = record.layer(name, lambda: self._open(key, name, record, make))
        self.used[key] = layer
        return layer

    def recheck(self) -> bool:
        """Read the blobs of all layers given out; tell whether any is wrong, and now removed.

        Of those that were lent, also tell whether one is not there any more.
        """
        wrong = {
            digest
            for digest in (self._digests() | self._lent) - self._wrong
            if not intact(self.blobs.path(digest), digest)
        }
        for digest in wrong:
            self.notes.add(f"a damaged layer was removed from the cache: {digest}")
            try:
                self.blobs.path(digest).unlink()
            except OSError as error:
                self._wrong.add(digest)
                self.notes.unwritable(self.blobs.directory, error)
        return bool(wrong) or self._is_lost()

    def healing(self, work: Callable[[], T]) -> T:
        """Return ``work()``; once more if it failed and a blob of the cache was damaged.

        A damaged blob shows when its last byte is read, or in whoever reads it: then it
        is removed, so that it is made again. Where nobody can, the error is raised.
        """
        try:
            return work()
        except SlimpackError:
            if not self.recheck() or self._is_lost():
                raise
        return work()

    def _open(self, key: str, name: str, record: LayerRecord, make: MakeLayer) -> ByteStream:
        if stream := self._stored(record):
            return stream
        if self.fetch(key, record) and (stream := self._stored(record)):
            return stream
        with self._making:  # one at a time: each takes all cores, and much memory
            if stream := self._stored(record):
                return stream
            self._check_same(key, name, record, self._make(make))
            if stream := self._stored(record):
                return stream
            # Somebody else prunes faster than we open: nobody but us touches the spare folder.
            self._check_same(key, name, record, make(self._spare))
            return self._spare.open(record.digest)

    def _check_same(self, key: str, name: str, record: LayerRecord, layer: Layer) -> None:
        """Raise ImageError, and forget the record, for a layer that came out different."""
        again = record_of(layer)
        if again == record:
            return
        self._records.remove(_KIND, key)
        what = "compressed" if again.diff_id == record.diff_id else "made"
        raise ImageError(
            f"layer {name} was {what} again and came out different: "
            f"expected {record.digest}, got {again.digest}",
            hint="its record was removed from the cache; run again",
        )

    def _stored(self, record: LayerRecord) -> BinaryIO | None:
        """Open the blob if it is anywhere and has its size."""
        stores = [self._spare] if record.digest in self._wrong else [self.blobs, self._spare]
        for blobs in stores:
            path = blobs.path(record.digest)
            if _present(path, record.size):
                with suppress(OSError):
                    return path.open("rb")
        return None

    def _make(self, make: MakeLayer) -> Layer:
        """Make a layer in the cache; in the build's own folder if that cannot be written.

        On a full disk, layers of other builds make room.
        """
        try:
            try:
                layer = make(self.blobs)
            except SlimpackError as error:
                if not (is_full(error) and self._make_room()):
                    raise
                layer = make(self.blobs)
        except SlimpackError as error:
            if not is_unwritable(error):
                raise
            self.notes.unwritable(self.blobs.directory, error)
            return make(self._spare)
        self._count(layer.size)
        return layer

    def _count(self, size: int) -> None:
        with self._counting:
            self.written += size

    def _digests(self) -> set[str]:
        return {layer.digest for layer in list(self.used.values())}

    def _is_lost(self) -> bool:
        return any(
            digest in self._wrong or not self.blobs.path(digest).exists() for digest in self._lent
        )

    def _make_room(self) -> bool:
        removed = make_room(self._cache, self._digests() | self._lent)
        if removed.number:
            self.notes.add(f"the disk is full: {removed.number} layers were removed from the cache")
        return bool(removed.number)


def intact(path: Path, digest: str) -> bool:
    """Tell whether a blob is what its digest says; one that is not there is."""
    try:
        with path.open("rb") as stream:
            found = hashlib.sha256()
            for data in chunks(stream):
                found.update(data)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return f"sha256:{found.hexdigest()}" == digest


def _present(path: Path, size: int) -> bool:
    """Tell whether there is a blob of that size; remove one of another; note the use."""
    try:
        if path.stat().st_size == size:
            with suppress(OSError):
                os.utime(path)
            return True
        path.unlink()
    except OSError:
        pass
    return False
