"""What every part of a build works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import Memo
from slimpack.oci.compress import Compression
from slimpack.progress import Progress

if TYPE_CHECKING:  # a build without a registry does not wait for the import of a client
    from slimpack.registry.connecting import Registries


@dataclass(frozen=True)
class Means:
    """The caches, the listener, and how layers are written.

    epoch: mtime of every file and creation date of the image, in seconds.
    registries: where bases are pulled from; None for the usual way.
    """

    cache: Cache
    layers: LayerCache
    memos: Memo
    progress: Progress
    epoch: int
    compression: Compression
    registries: Registries | None = None
