"""The bytes of files that an earlier build has put into layers, read from these when wanted.

Most builds want none. One that changes a package of a layer wants those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from slimpack.cache.layers import LayerCache
from slimpack.cache.record import LayerRecord
from slimpack.errors import ImageError
from slimpack.oci.digest import ByteStream, Writable
from slimpack.oci.layer import Layer
from slimpack.oci.untar import TarReader
from slimpack.slices import open_slice
from slimpack.warm.noswap import StartOver


class LayerBytes:
    """Opens files of layers; safe for any number of threads.

    layers: with their keys. scratch: a folder for the tars of those that were opened.
    """

    def __init__(
        self, layers: Sequence[tuple[str, LayerRecord]], cache: LayerCache, scratch: Path
    ) -> None:
        self._layers = layers
        self._cache = cache
        self._scratch = scratch
        self._places: dict[int, dict[str, tuple[Path, int, int]]] = {}
        self._lock = Lock()

    def open(self, layer: int, path: str) -> BinaryIO:
        """Open a file; StartOver when its layer is not in the cache."""
        with self._lock:
            if layer not in self._places:
                self._places[layer] = self._unpacked(layer)
        place = self._places[layer].get(path)
        if place is None:
            raise StartOver(f"/{path} is not in the layer that it was put into")
        return open_slice(*place)

    def _unpacked(self, number: int) -> dict[str, tuple[Path, int, int]]:
        if not 0 <= number < len(self._layers):
            raise StartOver("a file that no layer has")
        key, record = self._layers[number]
        if not self._cache.has(record) and not self._cache.fetch(key, record):
            raise StartOver(f"layer {record.digest} is not in the cache any more")
        blob = self._cache.blobs.path(record.digest)
        layer = record.layer("", lambda: blob.open("rb"))
        target = self._scratch / f"layer-{number}.tar"
        try:
            return self._read(layer, target)
        except ImageError as error:
            with suppress(OSError):
                blob.unlink()
            raise StartOver(f"layer {record.digest} cannot be read: {error}") from error
        except OSError as error:  # no fault of the layer's: the disk is full
            raise StartOver(f"{target} cannot be written: {error}") from error

    @staticmethod
    def _read(layer: Layer, target: Path) -> dict[str, tuple[Path, int, int]]:
        places: dict[str, tuple[Path, int, int]] = {}
        with layer.open_tar() as tar, target.open("wb") as out:
            reader = TarReader(_Kept(tar, out), f"layer {layer.digest}")
            for member in reader:
                if member.kind == "file":
                    places[member.path] = (target, member.offset, member.size)
                elif member.kind == "hardlink" and member.link in places:
                    places[member.path] = places[member.link]
            reader.drain()
        return places


class _Kept:
    """A stream of which everything that is read is written to a file, too."""

    def __init__(self, stream: ByteStream, out: Writable) -> None:
        self._stream = stream
        self._out = out

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._out.write(data)
        return data

    def close(self) -> None:
        self._stream.close()
