"""Images that the tests of oci/ share, built in code."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.plan import plan_layers
from slimpack.oci.sharing import share_all
from slimpack.tree import Tree, bytes_entry, directory_entry, symlink_entry

MTIME = 1_700_000_000
ZSTD = Compression("zstd", 3, 2)
GZIP = Compression("gzip", 6, 2)
PLAIN = Compression("none", 0, 1)
BY_KIND = {"zstd": ZSTD, "gzip": GZIP, "none": PLAIN}
LAZY = {
    "zstd:chunked": Compression("zstd", 3, 2, chunked=True),
    "estargz": Compression("gzip", 6, 2, chunked=True, first=frozenset({"app/main.py"})),
}
"""Layers whose files can be read one by one."""


def sample_tree() -> Tree:
    """Three packages, the application and a file of nobody; every kind of header."""
    return Tree(
        [
            directory_entry("tmp", mode=0o1777, owner="base"),
            directory_entry("home/nonroot", mode=0o700, owner="base", uid=65532, gid=65532),
            bytes_entry("etc/passwd", b"root:x:0:0::/root:/sbin/nologin\n", owner="base"),
            bytes_entry("opt/env/bin/tool", b"\x7fELF" + bytes(range(256)) * 40, mode=0o755),
            bytes_entry("opt/env/lib/" + "d" * 120 + "/" + "f" * 120, b"deep", owner="numpy"),
            bytes_entry("opt/env/lib/data", b"0123456789abcdef" * 20_000, owner="numpy"),
            bytes_entry("opt/env/lib/sch\u00f6n-\u6f22\u5b57", b"unicode", owner="scipy"),
            bytes_entry("opt/env/lib/empty", b"", owner="scipy"),
            symlink_entry("opt/env/lib/link", "../" * 40 + "etc/passwd", owner="scipy"),
            bytes_entry("app/main.py", b"print('hello')\n", owner="application"),
            bytes_entry("tmp/note", b"in a sticky folder", owner="application"),
        ]
    )


def sample_config() -> ImageConfig:
    return ImageConfig(
        env=(("PATH", "/opt/env/bin"), ("A", "1=2")),
        entrypoint=("/opt/env/bin/tool",),
        cmd=("--serve",),
        user="65532:65532",
        workdir="/app",
        labels={"org.example": "yes"},
        exposed_ports=("8000/tcp",),
        stop_signal="SIGTERM",
        created=MTIME,
    )


def sample_layers(directory: Path, compression: Compression = ZSTD) -> list[Layer]:
    store = BlobStore(directory, durable=False)
    return [
        build_layer(plan.name, plan.entries, blobs=store, mtime=MTIME, compression=compression)
        for plan in plan_layers(sample_tree(), last_owners=["application"])
    ]


def sample_image(directory: Path, compression: Compression = ZSTD) -> Image:
    return make_image(sample_layers(directory, compression), sample_config(), comment="slimpack")


SHARED_FILES = {
    f"opt/env/{folder}/licence": b"Permission is hereby granted. " * 40
    for folder in ("a", "b", "c" * 120, "sch\u00f6n")
}
"""Path -> content of what `sharing_image` has: one file under four names."""


def sharing_image(directory: Path, compression: Compression = ZSTD) -> Image:
    """Return an image of one layer with `SHARED_FILES`, three of them hard links."""
    tree = Tree(bytes_entry(path, data, owner=path[8]) for path, data in SHARED_FILES.items())
    (plan,), shared = share_all(plan_layers(tree, budget=1))
    assert shared.files == len(SHARED_FILES) - 1
    layer = build_layer(
        plan.name,
        plan.entries,
        blobs=BlobStore(directory, durable=False),
        mtime=MTIME,
        compression=compression,
    )
    return make_image([layer], sample_config(), comment="slimpack")


def files_below(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if not p.is_dir())


def need(condition: bool, reason: str) -> None:
    """Skip, or fail where the machine was promised to have everything."""
    if not condition and os.environ.get("SLIMPACK_REQUIRE_ENGINE") == "1":
        pytest.fail(f"{reason}, and SLIMPACK_REQUIRE_ENGINE=1")
    elif not condition:
        pytest.skip(reason)


def need_tool(name: str) -> None:
    need(shutil.which(name) is not None, f"{name} is not installed")


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a file system of 2 MiB on `path`."""
    need(os.getuid() == 0, "mounting a tmpfs needs root")
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    need(mounted.returncode == 0, f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)
