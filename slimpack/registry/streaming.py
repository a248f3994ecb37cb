"""A blob as it comes from a registry, for whoever reads it once and keeps it elsewhere.

A connection that breaks is opened again where it was (a Range request), as often as there
is progress in between. Nothing is kept on disk, and nothing is verified: that is up to
`slimpack.oci.digest.VerifyingReader`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from slimpack.oci.digest import CHUNK, ByteStream
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, Index
from slimpack.registry.calls import BodyStream
from slimpack.registry.download import RemoteLayer
from slimpack.registry.failures import PassingError


class BlobStream:
    """A blob, read from its beginning. open_at: opens it from a byte on, or from 0."""

    def __init__(self, open_at: Callable[[int], BodyStream], tries: int) -> None:
        self._open_at = open_at
        self._tries = tries
        self._left = tries
        self._body: BodyStream | None = None
        self._at = 0
        self._broke_at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, as many as have come; b"" at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        while True:
            try:
                data = self._opened().read(size)
                self._at += len(data)
                return data
            except PassingError:
                self.close()
                # A break after good progress is no reason to give up.
                self._left = self._tries if self._at - self._broke_at >= CHUNK else self._left - 1
                self._broke_at = self._at
                if not self._left:
                    raise

    def _opened(self) -> BodyStream:
        if self._body is None:
            self._body = self._open_at(self._at)
            ahead = self._at - self._body.start  # a registry may not know of ranges
            while ahead and (data := self._body.read(min(CHUNK, ahead))):
                ahead -= len(data)
        return self._body

    def close(self) -> None:
        """Give the connection back."""
        if self._body is not None:
            self._body.close()
            self._body = None


@dataclass(frozen=True)
class StreamedLayer:
    """What opens a layer of a registry: the blob that was kept, else a stream of it."""

    remote: RemoteLayer

    def __call__(self) -> ByteStream | BinaryIO:
        """Open the layer."""
        kept, digest = self.remote.kept, self.remote.digest
        if self.remote.is_here():
            return kept.open(digest, self.remote.size)
        return BlobStream(
            lambda offset: kept.registry.open_blob(kept.repository, digest, offset),
            kept.registry.session.retry.tries,
        )


def streamed(target: Deliverable) -> Deliverable:
    """Return the same image or index, with layers that are not kept when they are opened."""
    if isinstance(target, Index):
        return replace(target, images=tuple(map(_streamed, target.images)))
    return _streamed(target)


def _streamed(image: Image) -> Image:
    layers = tuple(
        replace(layer, source=StreamedLayer(layer.source))
        if isinstance(layer.source, RemoteLayer)
        else layer
        for layer in image.layers
    )
    return replace(image, layers=layers)
