"""Lay out NVIDIA's CUDA wheels as conda-forge lays out NVIDIA's archives.

A wheel holds ``nvidia/<component>/{lib,include,nvvm}``, its libraries under their sonames alone.
conda-forge puts them into ``targets/<platform>/{lib,include}``, so that compilers for several
platforms fit into one prefix, names each library by its full version, and links to it from
``lib``, where programs of the environment look. Sources: the build scripts of conda-forge's
``libcublas``, ``cuda-cudart`` and ``cudnn`` recipes.
"""

from __future__ import annotations

import os
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from benchmarks.channel import elf
from benchmarks.channel.conda_format import Symlink, write_files
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.native import check_sonames, conda_place
from benchmarks.channel.recipes import Recipe

LICENSE = "LicenseRef-NVIDIA-End-User-License-Agreement"

# For a recipe that does not say where its files go.
_TARGET = "targets/x86_64-linux/lib/"
_PLACES = {"lib/": _TARGET}


def stage_cuda(recipe: Recipe, wheel: Path, version: str, root: Path, patchelf: Path) -> None:
    """Fill ``root`` with the libraries of a wheel, and with links to them."""
    places = dict(recipe.files) or _PLACES
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = inner_name(member.filename)
            place = conda_place(name, places)
            if place is None or any(fnmatchcase(name, pattern) for pattern in recipe.exclude):
                continue
            target = root / versioned(place, version)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
            target.chmod(0o755 if ".so" in target.name or "/bin/" in place else 0o644)
            if target != root / place:
                (root / place).symlink_to(target.name)
    write_files(root, {place: Symlink(link) for place, link in recipe.links.items()})
    if not any(root.iterdir()):
        raise ChannelError(f"{recipe.name}: nothing in {wheel.name} lies where its recipe looks")
    if not recipe.noarch:
        link_from_lib(root)
    look_beside(root, patchelf)
    check_sonames(recipe, root)


def inner_name(member: str) -> str:
    """``nvidia/cu13/lib/x`` is ``lib/x``; what is not below ``nvidia/`` has no name."""
    parts = member.split("/", 2)
    return parts[2] if len(parts) == 3 and parts[0] == "nvidia" else ""


def versioned(place: str, version: str) -> str:
    """Give a library its full version: ``lib/libx.so.12`` of 12.0.4 is ``lib/libx.so.12.0.4``.

    A library whose number is not the start of its package's version keeps its name.
    """
    path = PurePosixPath(place)
    stem, mark, number = path.name.partition(".so.")
    if not mark or not version.startswith(f"{number}."):
        return place
    return str(path.with_name(f"{stem}.so.{version}"))


def link_from_lib(root: Path) -> None:
    """Link to every shared library of the target from ``lib``."""
    for path in sorted((root / _TARGET).glob("*.so*")):
        link = root / "lib" / path.name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(os.path.relpath(path, link.parent))


def look_beside(root: Path, patchelf: Path) -> None:
    """Let every library look beside itself, and nowhere else.

    Also those that need nothing: they open others by name, as libnvrtc opens its builtins. The
    loader takes the folder of the link by which it came to a library, not of the file, so that
    what lies in ``lib`` of the prefix is beside it, too. DT_RPATH and not the wheels' DT_RUNPATH:
    only with that a library also finds what the program finds, libgcc_s say.
    """
    for path in elf.elf_files(root):
        if ".so" in path.name:
            elf.set_rpath(path, "$ORIGIN", patchelf)
