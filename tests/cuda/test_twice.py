"""A base with libraries of CUDA below an environment that brings them: the build says so."""

from __future__ import annotations

from pathlib import Path

from slimpack.base import Base
from slimpack.compose import twice_notes
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.rootfs import merged_view
from slimpack.tree import Tree, bytes_entry, symlink_entry

CUDA = "usr/local/cuda-12.8/targets/x86_64-linux/lib"
BASE = [
    bytes_entry(f"{CUDA}/libcublas.so.12.8.4.1", b"x" * 2_000_000),
    symlink_entry(f"{CUDA}/libcublas.so.12", "libcublas.so.12.8.4.1"),
    bytes_entry(f"{CUDA}/libcublasLt.so.12.8.4.1", b"x" * 6_000_000),
    bytes_entry(f"{CUDA}/libcufft.so.11.3.3.83", b"x" * 3_000_000),
    bytes_entry(f"{CUDA}/libnppc.so.12.3.3.100", b"x" * 1_000_000),
    bytes_entry("usr/lib/x86_64-linux-gnu/libz.so.1", b"x" * 1_000_000),
]


def base(tmp_path: Path) -> Base:
    layer = build_layer("base", BASE, blobs=BlobStore(tmp_path, durable=False), mtime=0,
                        compression=Compression("none", 0, 1))  # fmt: skip
    image = make_image([layer], ImageConfig())
    return Base(image, "2.36", "/opt/env", "", merged_view(image))


def test_what_both_have_is_told_with_its_bytes(tmp_path: Path) -> None:
    lib = "opt/env/targets/x86_64-linux/lib"
    env = [
        bytes_entry(f"{lib}/libcublas.so.13.1.1.3", b"x"),
        bytes_entry(f"{lib}/libcufft.so.12.0.0.61", b"x"),
        bytes_entry("opt/env/lib/libz.so.1", b"x"),
    ]
    (note,) = twice_notes(base(tmp_path), Tree(env))
    assert "cuBLAS 8.0 MB, cuFFT 3.0 MB; 11.0 MB of its layers" in note
    assert note.endswith("take the runtime cuda, which has none")


def test_an_environment_without_them(tmp_path: Path) -> None:
    assert (
        list(twice_notes(base(tmp_path), Tree([bytes_entry("opt/env/lib/libz.so.1", b"x")]))) == []
    )
