"""What lets the far side build again: the packages of locks, conda's and pip's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.bundle.channel import channel_extras
from slimpack.bundle.contents import Extra, Part
from slimpack.bundle.wheelhouse import PipPart, wheelhouse_extras
from slimpack.env.locks.lock import Lock
from slimpack.env.packages import PackageFile, fetch_packages
from slimpack.env.pypi.archives import fetch_pypi, unpacked_names
from slimpack.env.pypi.names import source_kind
from slimpack.errors import InputError
from slimpack.progress import SILENT, Progress

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}\Z")


@dataclass(frozen=True)
class BundledLock:
    """A lock of a bundle: ``locks/<name>.lock``, for one or several platforms."""

    name: str
    locks: tuple[Lock, ...]


@dataclass(frozen=True)
class Packages:
    """What the packages of locks add to a bundle. notes: one sentence each."""

    extras: tuple[Extra, ...]
    notes: tuple[str, ...] = ()


def package_extras(
    locks: Sequence[BundledLock],
    scratch: Path,
    *,
    caches: Sequence[Path] = (),
    progress: Progress = SILENT,
) -> Packages:
    """Return a channel and a wheelhouse of all that the locks name.

    scratch: an empty folder for what has to be fetched; it must stay until the bundle is
    written. caches: folders with package files. Beside each lock, ``locks/<name>-<subdir>.txt``
    names its conda packages for tools that read no lock. Raises InstallError for what cannot
    be had, InputError for locks that cannot stand beside each other.
    """
    conda: list[PackageFile] = []
    pip: dict[str, list[PipPart]] = {}
    notes: list[str] = []
    extras: list[Extra] = []
    for number, bundled in enumerate(locks):
        if not _NAME.match(bundled.name) or bundled.name in pip:
            raise InputError(
                f"{bundled.name!r} cannot name a lock of the bundle, or names two",
                hint="give the files other names",
            )
        parts = pip.setdefault(bundled.name, [])
        for lock in bundled.locks:
            folder = scratch / f"{number}-{lock.platform}"
            folder.mkdir(parents=True)
            conda += fetch_packages(lock, folder, caches=caches, progress=progress)
            files, missing = fetch_pypi(lock, folder, progress=progress)
            parts.append(PipPart(lock.platform, files, missing))
            extras.append(Extra(_exact(bundled.name, lock), "lock"))
            if missing:
                notes.append(
                    f"{bundled.name}: not in the wheelhouse, because there is no file of it: "
                    f"{unpacked_names(missing)}"
                )
        notes += _sdists(bundled)
    return Packages(
        (*channel_extras(conda), *wheelhouse_extras(pip), *extras), tuple(dict.fromkeys(notes))
    )


def _sdists(bundled: BundledLock) -> list[str]:
    names = {
        f"{one.name} {one.version}".strip()
        for lock in bundled.locks
        for one in lock.pypi
        if source_kind(one) == "sdist"
    }
    if not names:
        return []
    return [
        f"{bundled.name}: sources, which the far side has to build, with tools of its own: "
        f"{', '.join(sorted(names))}"
    ]


def _exact(name: str, lock: Lock) -> Part:
    """Return exact specs of the conda packages, for `micromamba create --file`."""
    lines = (f"{one.name}={one.version}={one.build}\n" for one in lock.packages)
    return Part.of(f"locks/{name}-{lock.platform}.txt", "".join(lines).encode())
