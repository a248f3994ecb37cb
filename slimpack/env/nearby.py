"""Packages that lie in a folder of this machine: what a bundle brought, or a copy of a channel.

A package is known by its digest, not by where it came from: the file is taken when it has the
SHA-256 that the lock says. What is installed still tells of the channel that the lock names,
so that the same lock gives the same image on either side of an air gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slimpack.env.locks.lock import Lock, LockedPackage, PypiPackage
from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.files import file_sha256

WHEELHOUSE = "wheelhouse"
_TO_SUBDIR = ("", "channel", "*", "channel/*")


def check_folders(folders: Sequence[Path]) -> None:
    """Raise InputError for one that is not there."""
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{folder} is not a folder",
                hint="name the folder of `slimpack bundle apply FILE --to channel=FOLDER`, or one "
                "that a bundle was unpacked to",
            )


def near_packages(lock: Lock, folders: Sequence[Path]) -> dict[str, str]:
    """Return URL -> ``file:`` URL for the conda packages of a lock that the folders have.

    A folder is a channel, holds one named ``channel``, or holds several.
    """
    found = {}
    for package in lock.packages:
        path = _package(package, folders) if package.sha256 else None
        if path is not None:
            found[package.url] = path.absolute().as_uri()
    return found


def near_pypi(packages: Sequence[PypiPackage], folders: Sequence[Path]) -> tuple[PypiPackage, ...]:
    """Return the packages, with ``file:`` URLs for those that a wheelhouse in the folders has."""
    return tuple(_nearer(package, folders) for package in packages)


def _nearer(package: PypiPackage, folders: Sequence[Path]) -> PypiPackage:
    name = _file_name(package.url)
    places = (place / name for folder in folders for place in (folder / WHEELHOUSE, folder))
    found = _matching(places, package.sha256) if name and package.sha256 else None
    return package if found is None else replace(package, url=found.absolute().as_uri())


def _package(package: LockedPackage, folders: Sequence[Path]) -> Path | None:
    name, subdir = _file_name(package.url), package.subdir
    if not name or not subdir or "/" in subdir or subdir in (".", ".."):
        return None
    places = (
        place / subdir / name
        for folder in folders
        for pattern in _TO_SUBDIR
        for place in _places(folder, pattern)
    )
    return _matching(places, package.sha256)


def _places(folder: Path, pattern: str) -> Sequence[Path]:
    return sorted(folder.glob(pattern)) if pattern else (folder,)


def _file_name(url: str) -> str:
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return "" if name in (".", "..") or "\0" in name else name


def _matching(places: Iterator[Path], sha256: str) -> Path | None:
    """Return the first file with that digest; others of the name are from other channels."""
    for place in places:
        if place.is_file() and file_sha256(place) == sha256:
            return place
    return None


def at_places(lock: Lock, places: Mapping[str, str]) -> Lock:
    """Return the lock with other URLs; its text stays as it is."""
    packages = (replace(one, url=places.get(one.url, one.url)) for one in lock.packages)
    return replace(lock, packages=tuple(packages))


def restore_origins(lock: Lock, places: Mapping[str, str], prefix: Path) -> None:
    """Let conda-meta say where packages are from by the lock, not where they lay."""
    for package in lock.packages:
        place = places.get(package.url)
        path = prefix / "conda-meta" / f"{package.dist}.json"
        if place is None or not path.is_file():
            continue  # `check_installed` tells what is missing
        record = json.loads(path.read_bytes())
        record["url"] = redacted(package.url)
        near, origin = place.rsplit("/", 2)[0], redacted(package.url).rsplit("/", 2)[0]
        channel = str(record.get("channel") or "")
        if channel.startswith(near):
            record["channel"] = origin + channel[len(near) :]
        path.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
