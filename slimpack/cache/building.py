"""All caches of one build together: opened before it, shared and trimmed after it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.cache.folders import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.limits import trim
from slimpack.cache.memo import Memo
from slimpack.cache.notes import CacheNotes
from slimpack.oci.blobs import BlobStore
from slimpack.progress import SILENT, Progress

if TYPE_CHECKING:  # a build without a registry does not wait for the import of a client
    from slimpack.cache.remote import RemoteCache
    from slimpack.registry.connecting import Registries
    from slimpack.registry.reference import Reference

_SELDOM = 3600.0  # seconds
_LITTLE = 100  # a part of the limit


@dataclass(frozen=True)
class BuildCaches:
    """What a build keeps and finds. notes: what it has to tell of them in the end.

    sources, to: the caches in registries that are read from, and the one written to.
    """

    cache: Cache
    memos: Memo
    layers: LayerCache
    notes: CacheNotes
    sources: tuple[RemoteCache, ...] = ()
    to: RemoteCache | None = None

    @property
    def mount_from(self) -> tuple[Reference, ...]:
        """Repositories from which a push may mount layers."""
        places = (*self.sources, *([self.to] if self.to else []))
        return tuple(dict.fromkeys(one.reference for one in places))

    def prefetch(self) -> None:
        """Download the layers that are elsewhere, several at a time.

        For outputs that need their bytes; a push to where they are does not. What cannot
        be had is made when it is read.
        """
        if not self.sources:
            return
        jobs = [partial(self.layers.fetch, *item) for item in self.layers.missing().items()]
        self.sources[0].run_all(jobs)

    def share(self, *, pushed_to: Iterable[Reference] = ()) -> int:
        """Keep in the registry what the build used; return how much of it is there.

        pushed_to: where the image went. To be called after the push, as layers are
        then taken from there.
        """
        if self.to is None:
            return 0
        found = ((place, self.memos.get(*place)) for place in list(self.memos.used))
        memos = {place: data for place, data in found if data is not None}
        return self.to.put_all(self.layers.used, memos, pushed_to=pushed_to)

    def trim(self, limit: int) -> None:
        """Keep the cache on disk below `limit` bytes, if the build added anything.

        Looking at every file takes time, so what is less than a hundredth of the limit
        counts once in an hour.
        """
        added = self.memos.written + self.layers.written
        stamp = self.cache.root / "trimmed"
        if not added or (added * _LITTLE < limit and _is_recent(stamp)):
            return
        trim(self.cache, limit)
        with suppress(OSError):
            stamp.touch()


def open_caches(
    cache: Cache,
    spare: BlobStore,
    *,
    shared: Collection[str] = (),
    sources: Sequence[Reference] = (),
    to: Reference | None = None,
    registries: Registries | None = None,
    progress: Progress = SILENT,
) -> BuildCaches:
    """Return the caches of a build; nothing is sent or written yet.

    spare: see `LayerCache`. shared: kinds of memos that make sense on other machines.
    sources, to: repositories (see `cache_reference`); with any, `registries` is needed,
    for as long as the layers are. A build with sources keeps memos and records apart:
    what others wrote into a repository has no effect on builds that do not name it.
    """
    notes = CacheNotes()
    if sources:
        cache = cache.with_help_of(*(one.name for one in sources))
    memos = partial(Memo, cache.memos, notes, shared=shared)
    layers = partial(LayerCache, cache, spare, notes=notes)
    places = dict.fromkeys((*sources, *([to] if to else [])))
    if registries is None or not places:
        return BuildCaches(cache, memos(), layers(), notes)
    from slimpack.cache.remote import RemoteCache
    from slimpack.cache.several import RemoteCaches

    near = {one: RemoteCache(one, registries, notes=notes, progress=progress) for one in places}
    read = tuple(near[one] for one in dict.fromkeys(sources))
    far = RemoteCaches(read) if read else None
    return BuildCaches(
        cache, memos(far=far), layers(far=far), notes, read, near[to] if to else None
    )


def _is_recent(stamp: Path) -> bool:
    try:
        return 0 <= time.time() - stamp.stat().st_mtime < _SELDOM
    except OSError:
        return False
