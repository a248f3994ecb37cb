"""``python -m tests.bundle.big FOLDER``: write a bundle of 600 MB, FOLDER/big.tar."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from slimpack.bundle.contents import Contents, plan
from slimpack.bundle.write import write_bundle
from slimpack.oci.digest import chunks
from slimpack.oci.image import make_image
from slimpack.oci.layer import TAR, Layer
from tests.bundle.shipping import packed
from tests.oci.oci_images import sample_config

SIZES = (350 << 20, 250 << 20)


def zeros(folder: Path, size: int) -> Layer:
    """Return a layer of nothing but zeros: an empty tar, which takes no room on disk."""
    path = folder / f"{size}.tar"
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), size)
    with path.open("rb") as stream:
        found = hashlib.sha256()
        for data in chunks(stream):
            found.update(data)
    digest = f"sha256:{found.hexdigest()}"
    return Layer(TAR, digest, size, digest, lambda: path.open("rb"), size)


def main(folder: Path) -> None:
    image = make_image([zeros(folder, size) for size in SIZES], sample_config())
    write_bundle(plan(Contents((packed(image),))), folder / "big.tar")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
