"""A cache in a registry: what one machine built, another need not build.

Looking something up is one request for a manifest, several at a time; a miss is a 404.
Blobs move only when their bytes are needed: a layer that the registry has is pushed by
mounting it. What comes from there is bounded and checked (`artifacts`), blobs by their
digests. That a record tells the truth nobody can check without building: who may write
to the repository may put any layer into images (docs/cache.md, 'Trust').

A registry that fails is noted once and not asked again; the build goes on without it.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import zstandard

from slimpack.cache.artifacts import (
    MAX_MEMO,
    MemoBlob,
    layer_manifest,
    layer_tag,
    memo_manifest,
    memo_tag,
    read_layer_manifest,
    read_memo_manifest,
)
from slimpack.cache.memo import MAX_DATA
from slimpack.cache.notes import CacheNotes
from slimpack.cache.record import LayerRecord, record_of
from slimpack.errors import ImageError, InputError, SlimpackError
from slimpack.oci.artifact import EMPTY
from slimpack.oci.blobs import BlobStore
from slimpack.oci.decompress import decompress, sniff
from slimpack.oci.digest import sha256
from slimpack.oci.image import MANIFEST_TYPE
from slimpack.oci.layer import Layer
from slimpack.oci.names import DEFAULT_TAG
from slimpack.progress import SILENT, Progress
from slimpack.registry.client import Registry
from slimpack.registry.connecting import Registries
from slimpack.registry.download import Kept
from slimpack.registry.failures import NotThereError, PassingError, RefusalError
from slimpack.registry.parallel import WORKERS, run_all
from slimpack.registry.reference import Reference

LOOK_UPS = 8
"""Requests at a time that look something up."""

_LEVEL = 3
_UNSEEN = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}

T = TypeVar("T")


class RemoteCache:
    """The cache in one repository; safe for any number of threads.

    Nothing raises because of the registry or of what is in it: see `notes`.
    """

    def __init__(
        self,
        reference: Reference,
        registries: Registries,
        *,
        notes: CacheNotes | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.reference = reference
        self.notes = notes or CacheNotes()
        self._registries = registries
        self._progress = progress
        self._registry: Registry = registries.of(reference.host)
        self._repository = reference.repository
        self._records: dict[str, LayerRecord | None] = {}
        self._down = threading.Event()
        self._emptying = threading.Lock()
        self._has_empty = False  # the blob that every manifest names as its config

    # Looking up

    def find(self, keys: Iterable[str]) -> None:
        """Look up the layers of several keys at once; `get_layer` then knows them."""
        wanted = dict.fromkeys(key for key in keys if key not in self._records)
        self.run_all([partial(self.get_layer, key) for key in wanted], LOOK_UPS)

    def get_layer(self, key: str) -> LayerRecord | None:
        """Return what is known of the layer with that key."""
        if key not in self._records:
            read = partial(read_layer_manifest, key=key, what=self._what(layer_tag(key)))
            self._records[key] = self._manifest(layer_tag(key), read)
        return self._records[key]

    def fetch(self, record: LayerRecord, blobs: BlobStore) -> bool:
        """Download a layer's blob into `blobs`; tell whether it is there now, and right."""
        kept = Kept(self._registry, self._repository, blobs, self._progress)

        def download() -> bool:
            kept.open(record.digest, record.size).close()
            return True

        return bool(self._try(download))

    def get_memo(self, kind: str, key: str) -> bytes | None:
        """Return the data of a memo."""
        tag = memo_tag(kind, key)
        read = partial(read_memo_manifest, kind=kind, key=key, what=self._what(tag))
        blob = self._manifest(tag, read)
        if blob is None:
            return None
        return self._try(lambda: self._unpacked(blob, self._what(tag)))

    # Adding

    def put_layer(self, key: str, layer: Layer, *, sources: Sequence[str] = ()) -> bool:
        """Keep a layer, its blob as well; tell whether it is there now.

        sources: repositories of the same registry from which the blob can be mounted.
        The layer is opened only when the registry has it in none of them.
        """
        record = record_of(layer)
        if self._records.get(key) == record:
            return True
        data = layer_manifest(key, record, layer.name)

        def blob() -> None:
            if self._registry.has_blob(self._repository, layer.digest) is None:
                self._registry.upload_blob(
                    self._repository, layer.digest, layer.size, layer.open, sources=sources
                )

        done = bool(self._try(lambda: self._put(layer_tag(key), data, blob)))
        if done:
            self._records[key] = record
        return done

    def put_memo(self, kind: str, key: str, data: bytes) -> bool:
        """Keep the data of a memo; tell whether it is there now."""
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(data)
        if len(packed) > MAX_MEMO:
            return False
        manifest = memo_manifest(kind, key, MemoBlob(sha256(packed), len(packed)))

        def blob() -> None:
            self._registry.upload_bytes(self._repository, packed)

        return bool(self._try(lambda: self._put(memo_tag(kind, key), manifest, blob)))

    def put_all(
        self,
        layers: Mapping[str, Layer],
        memos: Mapping[tuple[str, str], bytes],
        *,
        pushed_to: Iterable[Reference] = (),
    ) -> int:
        """Keep layers by key and memos by kind and key, several at a time.

        pushed_to: where the image went; its layers are mounted from there. Returns how
        many of them all are there now.
        """
        sources = self._beside(pushed_to)
        done = 0
        lock = threading.Lock()

        def count(job: Callable[[], bool]) -> None:
            nonlocal done
            if job():
                with lock:
                    done += 1

        jobs = [partial(self.put_layer, key, one, sources=sources) for key, one in layers.items()]
        more = [partial(self.put_memo, kind, key, data) for (kind, key), data in memos.items()]
        if jobs or more:
            with self._progress.task("cache", total=len(jobs) + len(more), unit="item") as task:

                def counted(job: Callable[[], bool]) -> None:
                    count(job)
                    with lock:
                        task.advance()

                self.run_all([partial(counted, job) for job in (*jobs, *more)])
        return done

    def run_all(self, jobs: Sequence[Callable[[], object]], workers: int = WORKERS) -> None:
        """Run jobs that use registries, several at a time, unless this one is down."""
        if not jobs:
            return
        # Connected once, so that not every thread waits for a registry that is not there.
        session = self._try(lambda: self._registry.session)
        if session is not None:
            run_all(jobs, stop=self._registries.stop, workers=workers)

    # Steps

    def _beside(self, places: Iterable[Reference]) -> list[str]:
        own = (self.reference.host, self._repository)
        there = [
            one.repository
            for one in places
            if one.host == self.reference.host and (one.host, one.repository) != own
        ]
        return list(dict.fromkeys(there))

    def _manifest(self, tag: str, read: Callable[[bytes], T]) -> T | None:
        def look() -> T | None:
            try:
                found = self._registry.get_manifest(self._repository, tag, (MANIFEST_TYPE,))
            except NotThereError:
                return None
            return read(found.data)

        return self._try(look)

    def _has_manifest(self, tag: str, data: bytes) -> bool:
        head = self._registry.head_manifest(self._repository, tag, (MANIFEST_TYPE,))
        return head is not None and head.digest == sha256(data)

    def _put(self, tag: str, manifest: bytes, blob: Callable[[], object]) -> bool:
        """Store a manifest under a tag unless it is there; `blob` brings what it names."""
        if self._has_manifest(tag, manifest):
            return True

        def put() -> bool:
            with self._emptying:
                if not self._has_empty:
                    self._registry.upload_bytes(self._repository, EMPTY)
                    self._has_empty = True
            blob()
            try:
                self._registry.put_manifest(self._repository, tag, manifest, MANIFEST_TYPE)
            except RefusalError as error:
                # docker-registry does not see a blob while somebody else brings it, too.
                if not _UNSEEN & set(error.codes):
                    raise
                self._has_empty = False
                raise PassingError(error.message, hint=error.hint) from error
            return True

        return self._registry.session.retry.run(put)

    def _unpacked(self, blob: MemoBlob, what: str) -> bytes:
        packed = self._registry.read_blob(self._repository, blob.digest, blob.size)
        if sniff(packed[:4]) != "zstd":
            raise ImageError(f"{what} is not compressed as it should be")
        return decompress(io.BytesIO(packed), limit=MAX_DATA, what=what).read()

    def _try(self, action: Callable[[], T]) -> T | None:
        """Return what `action` does; None, and a note, when it fails or the registry is down."""
        if self._down.is_set():
            return None
        try:
            return action()
        except (ImageError, NotThereError) as error:  # one thing in there is wrong
            self.notes.add(f"the cache {self.reference.name}: {error.message}: not used")
        except SlimpackError as error:
            if not self._down.is_set():
                self._down.set()
                self.notes.add(f"the cache {self.reference.name} is not used: {error.message}")
        return None

    def _what(self, tag: str) -> str:
        return f"{self.reference.name}:{tag}"


def cache_reference(text: str) -> Reference:
    """Read the name of a repository for a cache; InputError for one with a tag or digest."""
    reference = Reference.parse(text)
    if reference.digest or reference.tag not in ("", DEFAULT_TAG):
        raise InputError(
            f"{text}: a cache is a whole repository, without tag and digest",
            hint=f"use {reference.name}",
        )
    return reference
