"""The images that Dockerfiles stand on, made by slimpack from Debian's packages and loaded.

Registries of others may be out of reach, and their images change. `DEBIAN` has what
micromamba's image has, with py-rattler for micromamba; `BASE` is slimpack's own distroless.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.running import docker
from slimpack.debian import assemble_base, find_mirrors
from slimpack.oci.archive import write_archive
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.runtimes import load_runtime
from slimpack.tree import Entry, file_entry

DEBIAN = "slimpack-bench/debian:rebuild"
BASE = "slimpack-bench/base:rebuild"
_RUNTIME = """
description = "What naive Dockerfiles begin with: Debian with a shell, and an installer"
user = "0"
[env]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHONPATH = "/installer"
[debian]
suites = ["bookworm", "bookworm-updates", "bookworm-security"]
packages = [
  "base-files", "ca-certificates", "libc6", "libc-bin",
  "dash", "coreutils", "findutils", "sed", "grep", "tar", "gzip",
  "libacl1", "libattr1", "libgmp10", "libselinux1", "libpcre2-8-0", "libgcc-s1",
  "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "zlib1g",
  "libssl3", "libbz2-1.0", "liblzma5", "libffi8", "libcrypt1", "libuuid1",
]
exclude = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/local", "var/lock", "var/run"]
"""


def load_bases(folder: Path, cache: Path) -> None:
    """Make both images in `folder` and load them. Raises RunError and SlimpackError."""
    folder.mkdir(parents=True)
    runtime = folder / "debian.toml"
    runtime.write_text(_RUNTIME, encoding="utf-8")
    _load(str(runtime), DEBIAN, folder, cache, _installer())
    _load("distroless", BASE, folder, cache)
    shutil.rmtree(folder)


def _load(name: str, tag: str, folder: Path, cache: Path, more: tuple[Entry, ...] = ()) -> None:
    runtime = load_runtime(name)
    if runtime.debian is None:
        raise ValueError(f"{name} is not assembled from Debian")
    mirrors = find_mirrors(runtime.debian.suites[0])
    base = assemble_base(runtime, "linux/amd64", cache_dir=cache, mirrors=mirrors)
    blobs = BlobStore(folder / "blobs", durable=False)
    layers = [
        build_layer(runtime.name, entries, blobs=blobs, mtime=0, compression=Compression("gzip", 1))
        for entries in (base.tree, more)
        if entries
    ]
    config = ImageConfig(env=tuple(runtime.env.items()), user=runtime.user)
    path = folder / "image.tar"
    write_archive(make_image(layers, config), path, (tag,))
    docker("load", "--input", str(path))
    path.unlink()


def _installer() -> tuple[Entry, ...]:
    return tuple(entry for name in ("rattler",) for entry in _package(name))


def _package(name: str) -> Iterator[Entry]:
    """Yield the files of a package that this program's Python has."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"no package {name}")
    folder = Path(spec.origin).parent
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield file_entry(f"installer/{name}/{path.relative_to(folder)}", path)
