"""An image that no compressor makes smaller, for what moves images."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.tree import bytes_entry


def make_layout(work: Path, layout: Path, sizes: Sequence[int]) -> Image:
    """Write an image, ``app:1``, to an OCI layout. sizes: of its layers, in MB."""
    store = BlobStore(work, durable=False)
    chance = random.Random(1)
    layers = [
        build_layer(
            f"layer {number}",
            [bytes_entry("data/part", _noise(chance, megabytes), owner="x")],
            blobs=store,
            mtime=0,
            compression=Compression("zstd", 1, 2),
        )
        for number, megabytes in enumerate(sizes)
    ]
    image = make_image(layers, ImageConfig())
    write_layout(image, layout, ("app:1",))
    return image


def _noise(chance: random.Random, megabytes: int) -> bytes:
    return b"".join(chance.randbytes(10**6) for _ in range(megabytes))


def version_of(*command: str) -> str:
    """Return the first number that a program says of itself."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return next(word for word in done.stdout.split() if word.lstrip("v")[:1].isdigit())
