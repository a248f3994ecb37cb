"""Bases and images of a few made-up files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slimpack.base import LABEL as BASE_LABEL
from slimpack.base import Base
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig, Pairs
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.rootfs import merged_view
from slimpack.own import COMMENT, Own, configure
from slimpack.tree import Entry, bytes_entry, directory_entry, symlink_entry
from tests.elf.builder import make_elf

MULTIARCH = "usr/lib/x86_64-linux-gnu"
PASSWD = b"root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/home:/sbin/nologin\n"
OWN = Own(prefix="/opt/env", path=("/opt/env/bin",), places=("/app", "/opt/env"), level=1)


def library(name: str, *versions: str, path: str = "") -> Entry:
    """A shared library that defines versions."""
    return bytes_entry(path or f"{MULTIARCH}/{name}", make_elf(soname=name, defs=(name, *versions)))


USUAL: tuple[Entry, ...] = (
    directory_entry("tmp", mode=0o1777),
    bytes_entry("etc/passwd", PASSWD),
    bytes_entry("etc/group", b"root:x:0:\nnonroot:x:65532:\n"),
    bytes_entry("etc/ssl/certs/ca-certificates.crt", b"-"),
    bytes_entry("usr/share/zoneinfo/UTC", b"-"),
    library("libc.so.6", "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_PRIVATE"),
    symlink_entry("lib64/ld-linux-x86-64.so.2", f"/{MULTIARCH}/ld-linux-x86-64.so.2"),
    library("ld-linux-x86-64.so.2", "GLIBC_2.2.5"),
)


def layer_of(folder: Path, name: str, entries: Sequence[Entry], kind: str = "zstd") -> Layer:
    return build_layer(
        name,
        entries,
        blobs=BlobStore(folder, durable=False),
        mtime=0,
        compression=Compression(kind, 1 if kind == "zstd" else 0, 2),  # type: ignore[arg-type]
    )


def base_of(
    folder: Path,
    entries: Sequence[Entry] = USUAL,
    *,
    glibc: str = "2.36",
    name: str = "tiny",
    packages: str = "libc6=2.36-9",
    env: Pairs = (("LANG", "C.UTF-8"),),
    gpu: bool = False,
    **config: object,
) -> Base:
    """A base as `assemble` gives it."""
    given = ImageConfig(env=env, user="65532", labels={BASE_LABEL: f"{name} {packages}"})
    image = make_image(
        [layer_of(folder, f"runtime {name}", entries)],
        replace(given, **config),  # type: ignore[arg-type]
        comment=COMMENT,
    )
    return Base(image, glibc, "/opt/env", "65532", merged_view(image), gpu=gpu)


ENV: tuple[Entry, ...] = (
    bytes_entry("opt/env/bin/python", b"-", mode=0o755),
    bytes_entry("opt/env/lib/data", b"-"),
)


def image_on(
    folder: Path, base: Base, own: Own = OWN, entries: Sequence[Entry] = ENV, kind: str = "zstd"
) -> Image:
    """An image as a build makes it of a base and the files of an environment."""
    layers = [layer_of(folder, "python-3.11", entries, kind)]
    return make_image(layers, configure(own, base), base=base.image, comment=COMMENT)
