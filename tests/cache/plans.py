"""Layers that are made quickly, and a count of how often they were."""

from __future__ import annotations

from pathlib import Path

from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.record import layer_key
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.layer import Layer, build_layer
from slimpack.tree import Entry, bytes_entry

FAST = Compression(level=1, threads=1)


def entries(name: str, size: int = 2000) -> list[Entry]:
    """Return a few files whose content follows from a name and does not compress well."""
    content = b"".join(f"{name} {number * number}\n".encode() for number in range(size // 10))
    return [
        bytes_entry(f"opt/{name}/a.txt", content[:size]),
        bytes_entry(f"opt/{name}/b.txt", name.encode()),
    ]


def key_of(files: list[Entry]) -> str:
    key = layer_key(files, mtime=0, compression=FAST)
    assert key is not None
    return key


class Maker:
    """Makes a layer and counts."""

    def __init__(self, name: str, size: int = 2000) -> None:
        self.name = name
        self.entries = entries(name, size)
        self.key = key_of(self.entries)
        self.calls = 0

    def __call__(self, blobs: BlobStore) -> Layer:
        self.calls += 1
        return build_layer(self.name, self.entries, blobs=blobs, mtime=0, compression=FAST)


def layers_in(folder: Path) -> LayerCache:
    """Return the layer cache of a new build."""
    return LayerCache(Cache(folder), BlobStore(folder.with_name(f"{folder.name}-spare")))


def ask(cache: LayerCache, maker: Maker) -> Layer:
    return cache.layer_for(maker.key, maker.name, maker)


def content(layer: Layer) -> bytes:
    """Return the verified tar."""
    with layer.open_tar() as tar:
        return tar.read()
