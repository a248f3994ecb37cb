"""The images that Dockerfiles stand on, made by slimpack from Debian's packages and loaded.

Registries of others may be out of reach, and their images change. Each is what one finds under
a well-known name: a slim Debian with an installer of conda packages (py-rattler, where people
have micromamba), Debian's Python with pip, and both distroless.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.building.recipe import BASE, BUILDER, DEBIAN, PYTHON
from benchmarks.running import docker
from slimpack.debian import assemble_base, find_mirrors
from slimpack.oci.archive import write_archive
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.runtimes import Runtime, load_runtime
from slimpack.tree import Entry, file_entry

_SHELL = (
    *("base-files", "ca-certificates", "libc6", "libc-bin", "tzdata"),
    *("dash", "coreutils", "findutils", "sed", "grep", "tar", "gzip"),
    *("libacl1", "libattr1", "libgmp10", "libselinux1", "libpcre2-8-0", "libgcc-s1"),
)
_MINIMAL_PYTHON = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1"),
    *("zlib1g", "libssl3", "libbz2-1.0", "liblzma5", "libffi8", "libcrypt1", "libuuid1"),
)
# What python:slim and a distroless Python have besides: all that the standard library and
# wheels load.
_PYTHON = (
    *(*_MINIMAL_PYTHON, "media-types", "libdb5.3", "libncursesw6", "libnsl2", "libreadline8"),
    *("libsqlite3-0", "libtinfo6", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3"),
    *("libkrb5support0", "libcom-err2", "libkeyutils1", "libstdc++6", "libgcc-s1", "libgomp1"),
)
_PIP = ("python3.11-venv", "python3-distutils", "python3-pip-whl", "python3-setuptools-whl")
_RUNTIME = """
description = "Debian with a shell, on which images are built"
user = "0"
[env]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHONPATH = "/installer"
[debian]
suites = ["bookworm", "bookworm-updates", "bookworm-security"]
packages = ["base-files"]
exclude = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/local", "var/lock", "var/run"]
"""


def load_bases(images: Collection[str], folder: Path, cache: Path) -> None:
    """Make the images in `folder` and load them. Raises RunError and SlimpackError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for image in images:
        runtime, more = _RECIPES[image](folder)
        _load(runtime, image, folder, cache, more)
    shutil.rmtree(folder)


def _debian(folder: Path) -> tuple[Runtime, tuple[Entry, ...]]:
    return _with(_shell(folder), *_MINIMAL_PYTHON), tuple(_package("rattler"))


def _base(folder: Path) -> tuple[Runtime, tuple[Entry, ...]]:
    return load_runtime("distroless"), ()


def _builder(folder: Path) -> tuple[Runtime, tuple[Entry, ...]]:
    return _with(_shell(folder), *_PYTHON, *_PIP), ()


def _python(folder: Path) -> tuple[Runtime, tuple[Entry, ...]]:
    runtime = _with(load_runtime("distroless"), *_PYTHON)
    assert runtime.debian is not None
    # The base leaves out all programs; its own would be the first.
    excluded = (*runtime.debian.exclude, "!usr/bin/python3.11")
    return replace(runtime, debian=replace(runtime.debian, exclude=excluded)), ()


_RECIPES: dict[str, Callable[[Path], tuple[Runtime, tuple[Entry, ...]]]] = {
    DEBIAN: _debian,
    BASE: _base,
    BUILDER: _builder,
    PYTHON: _python,
}


def _shell(folder: Path) -> Runtime:
    path = folder / "debian.toml"
    path.write_text(_RUNTIME, encoding="utf-8")
    return _with(load_runtime(str(path)), *_SHELL)


def _with(runtime: Runtime, *packages: str) -> Runtime:
    assert runtime.debian is not None
    every = tuple(dict.fromkeys((*runtime.debian.packages, *packages)))
    return replace(runtime, debian=replace(runtime.debian, packages=every))


def _load(
    runtime: Runtime, tag: str, folder: Path, cache: Path, more: tuple[Entry, ...] = ()
) -> None:
    assert runtime.debian is not None
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


def _package(name: str) -> Iterator[Entry]:
    """Yield the files of a package that this program's Python has."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"no package {name}")
    folder = Path(spec.origin).parent
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield file_entry(f"installer/{name}/{path.relative_to(folder)}", path)
