"""Several caches in registries as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slimpack.cache.record import LayerRecord
from slimpack.cache.remote import RemoteCache
from slimpack.oci.blobs import BlobStore


@dataclass(frozen=True)
class RemoteCaches:
    """What the first of several caches knows counts.

    It is what `LayerCache` and `Memo` ask for what is not on the disk.
    """

    caches: tuple[RemoteCache, ...]

    def find(self, keys: Iterable[str]) -> None:
        """Look up the layers of several keys at once."""
        left = list(keys)
        for cache in self.caches:
            cache.find(left)
            left = [key for key in left if cache.get_layer(key) is None]

    def get(self, key: str) -> LayerRecord | None:
        """Return what is known of the layer with that key."""
        return next(filter(None, (cache.get_layer(key) for cache in self.caches)), None)

    def get_memo(self, kind: str, key: str) -> bytes | None:
        """Return the data of a memo."""
        for cache in self.caches:
            data = cache.get_memo(kind, key)
            if data is not None:
                return data
        return None

    def fetch(self, key: str, record: LayerRecord, blobs: BlobStore) -> bool:
        """Download a layer's blob into `blobs`; tell whether it is there now, and right."""
        return any(
            cache.fetch(record, blobs) for cache in self.caches if cache.get_layer(key) == record
        )
