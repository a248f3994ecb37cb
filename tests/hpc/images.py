"""Images with everything that a runtime reads, with a shell and without."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.tree import Entry, bytes_entry, symlink_entry
from tests.oci.oci_images import MTIME, ZSTD, need_tool

HARD = 'it\'s $HOME "q" `x` \\'

CONFIG = ImageConfig(
    env=(
        ("PATH", "/bin"),
        ("HARD", HARD),
        ("TEST_BOTH", "image"),
        ("HOME", "/nobody"),
        ("A.B", "no shell sets it"),
        ("LINES", "one\ntwo"),
    ),
    entrypoint=("printf", "[%s]"),
    cmd=("one two", "th$ree"),
    workdir="/app/data",
    labels={"org.example": "yes"},
    volumes=("/scratch",),
    created=MTIME,
)


def busybox() -> list[Entry]:
    """Return Debian's busybox, which is every program that a test needs, and its libraries."""
    need_tool("busybox")
    program = shutil.which("busybox") or ""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    libraries = re.findall(r"(/\S+) \(0x", done.stdout)
    files = {"bin/busybox": program} | {path.strip("/"): path for path in libraries}
    return [
        bytes_entry(path, Path(source).read_bytes(), mode=0o755) for path, source in files.items()
    ]


def shell_image(folder: Path, config: ImageConfig = CONFIG) -> Image:
    """Return an image of two layers with a shell; the upper one hides files of the lower."""
    blobs = BlobStore(folder)
    programs = [*busybox(), *(symlink_entry(f"bin/{name}", "busybox") for name in ("sh", "pwd"))]
    programs += [symlink_entry(f"bin/{name}", "busybox") for name in ("env", "cat", "printf")]
    below = [
        *programs,
        bytes_entry("etc/environment", b"OLD=1\n"),
        bytes_entry("old/file", b"old"),
        bytes_entry("app/gone", b"gone"),
        bytes_entry("bin/su", b"", mode=0o4755),
        replace(bytes_entry("home/user/own", b"own"), uid=1000, gid=1000),
    ]
    above = [
        bytes_entry("app/.wh.gone", b""),
        bytes_entry("old/.wh..wh..opq", b""),
        bytes_entry("old/new", b"new" * 100_000),
    ]
    layers = [
        build_layer(name, entries, blobs=blobs, mtime=MTIME, compression=ZSTD)
        for name, entries in (("below", below), ("above", above))
    ]
    return make_image(layers, config)


def bare_image(folder: Path, config: ImageConfig = CONFIG) -> Image:
    """Return an image of one program, and no shell."""
    programs = [*busybox(), symlink_entry("bin/printf", "busybox")]
    layer = build_layer("bare", programs, blobs=BlobStore(folder), mtime=MTIME, compression=ZSTD)
    return make_image([layer], config)
