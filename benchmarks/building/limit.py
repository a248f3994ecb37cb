"""The limit of a build: ``tar | zstd`` of the same files, at slimpack's level and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.building.project import Project
from benchmarks.running import measure
from slimpack.oci.compress import DEFAULT
from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import Placed, merged_view
from slimpack.rootfs import unpack_image

THREADS = os.cpu_count() or 1
PACKING = f"tar | zstd -{DEFAULT.level} -T{THREADS} of the same files"


@dataclass(frozen=True)
class Opened:
    """An image of a registry, on this machine. root: its files."""

    image: Image
    view: dict[str, Placed]
    root: Path


@contextmanager
def opened(project: Project, reference: str, folder: Path) -> Iterator[Opened]:
    """Pull an image and unpack it below `folder`; afterwards it is gone.

    slimpack reads images of others as well as its own (`slimpack pull`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        layout, root = Path(scratch, "layout"), Path(scratch, "root")
        Path(scratch).chmod(0o755)  # the image's user has to get in
        cache = Path(scratch, "cache")
        options = ("--output", f"{layout}/", "--quiet", "--progress", "none")
        project.slimpack("pull", reference, *options, cache=cache)
        image = read_image(layout)
        view = dict(merged_view(image))
        unpack_image(image, root, view=view)
        yield Opened(image, view, root)


def packing_seconds(root: Path) -> float:
    """Pack the files below `root`, once to have them in memory and once for the result."""
    zstd = f"zstd -q -c -T{THREADS} -{DEFAULT.level}"
    command = ("sh", "-c", f"tar -C . -cf - . | {zstd} >/dev/null")
    measure(("sh", "-c", "tar -C . -cf - . | cat >/dev/null"), cwd=root)
    return measure(command, cwd=root).seconds
