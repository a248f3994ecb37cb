"""Two releases of an image, as patches want them: most of a layer stays, a little changes."""

from __future__ import annotations

import random
from pathlib import Path

from slimpack.bundle.contents import Contents, plan
from slimpack.bundle.delta import as_delta
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.since import known_since
from slimpack.bundle.write import write_bundle
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.tree import Entry, bytes_entry
from tests.bundle.shipping import packed
from tests.oci.oci_images import MTIME, ZSTD, sample_config

LIBRARY = 300_000
"""Bytes of a library that changes in one place; they do not compress."""


def release(folder: Path, version: int) -> Image:
    """Return the image of a release: one layer stays, one changes a little, one is new."""
    store = BlobStore(folder / "blobs", durable=False)
    chance = random.Random(7)
    library = bytearray(chance.randbytes(LIBRARY))
    library[version * 100 : version * 100 + 20] = b"v" * 20
    contents: dict[str, list[Entry]] = {
        "base": [bytes_entry("etc/base", chance.randbytes(50_000))],
        "library": [
            bytes_entry("opt/lib/big.so", bytes(library)),
            bytes_entry(f"opt/lib/big-{version}.dist-info/RECORD", b"big.so,sha256=\n" * 90),
        ],
        "app": [bytes_entry("app/main.py", f"print({version})\n".encode())],
    }
    layers = [
        build_layer(name, entries, blobs=store, mtime=MTIME, compression=ZSTD)
        for name, entries in contents.items()
    ]
    return make_image(layers, sample_config(), comment=f"release {version}")


def delta(folder: Path, new: Image, since: Path, *, patches: bool = True) -> Bundle:
    """Write a delta of an image since an older bundle, and open it."""
    contents = as_delta(
        Contents((packed(new),), tool="test"),
        [known_since(since)],
        folder / "scratch",
        patches=patches,
    )
    write_bundle(plan(contents), folder / "delta.tar")
    return open_bundle(folder / "delta.tar")
