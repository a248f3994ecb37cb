"""Layers, and patches of them, that the tests of patch/ share."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.layer import Layer, build_layer
from slimpack.patch.apply import Patcher
from slimpack.patch.info import PatchInfo, read_info
from slimpack.patch.make import PatchMaker
from slimpack.tree import Entry, bytes_entry
from tests.oci.oci_images import MTIME, ZSTD


def noise(seed: int, size: int) -> bytes:
    """Return bytes that no compressor makes smaller, unless it has seen them."""
    return random.Random(seed).randbytes(size)


def layer(directory: Path, entries: Iterable[Entry], how: Compression = ZSTD) -> Layer:
    store = BlobStore(directory, durable=False)
    return build_layer("one", entries, blobs=store, mtime=MTIME, compression=how)


def files(directory: Path, content: dict[str, bytes], how: Compression = ZSTD) -> Layer:
    return layer(directory, (bytes_entry(path, data) for path, data in content.items()), how)


def made(
    new: Layer, bases: Sequence[Layer], scratch: Path, limit: int | None = None
) -> tuple[PatchInfo, bytes]:
    """Return a patch that must be possible."""
    out = io.BytesIO()
    with PatchMaker(bases, scratch=scratch) as maker:
        info = maker.make(new, out, limit=limit)
    assert info is not None
    assert read_info(io.BytesIO(out.getvalue())) == info
    assert len(out.getvalue()) == info.patch_size
    return info, out.getvalue()


def rebuilt(patch: bytes, bases: Sequence[Layer], directory: Path) -> Layer:
    """Apply a patch; its blob goes to the folder ``blobs``."""
    by_digest = {base.digest: base for base in bases}
    with Patcher(by_digest.get, scratch=directory / "scratch") as patcher:
        return patcher.apply(io.BytesIO(patch), BlobStore(directory / "blobs", durable=False))
