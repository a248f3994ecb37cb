"""Conda packages in a bundle: a local channel, ``channel/<subdir>/`` with its repodata.json.

Packages of several channels lie in one. Where two of them have other bytes under one name, the
first one's is there and the others' are in a channel of their own, ``channel/<name>-<hash>/``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from slimpack.bundle.contents import Extra, Part
from slimpack.env.packages import PackageFile
from slimpack.errors import BundleError
from slimpack.oci.jsontext import canonical

FOLDER: Final = "channel"
REPODATA: Final = "repodata.json"
NOARCH: Final = "noarch"
_SLUG = re.compile(r"[^A-Za-z0-9_.]+")


def channel_extras(packages: Iterable[PackageFile]) -> tuple[Extra, ...]:
    """Return the members of the channel, sorted; each package once.

    Raises BundleError where one channel has two packages of one name with other bytes.
    """
    placed = _placed(packages)
    extras = [
        Extra(file_part(path, one.path, one.size, one.sha256), "channel")
        for path, one in placed.items()
    ]
    records: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path, one in placed.items():
        folder, _, name = path.rpartition("/")
        records.setdefault(folder, {})[name] = one.record
    for folder in list(records):
        # Every client asks for noarch, too.
        records.setdefault(f"{folder.rpartition('/')[0]}/{NOARCH}", {})
    extras += [
        Extra(
            Part.of(f"{folder}/{REPODATA}", repodata(folder.rpartition("/")[2], found)), "channel"
        )
        for folder, found in records.items()
    ]
    return tuple(sorted(extras, key=lambda extra: extra.part.path))


def repodata(subdir: str, records: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the one text of a repodata.json. records: by the name of the file."""
    old = {name: record for name, record in records.items() if name.endswith(".tar.bz2")}
    new = {name: record for name, record in records.items() if name not in old}
    return canonical(
        {
            "info": {"subdir": subdir},
            "packages": old,
            "packages.conda": new,
            "removed": [],
            "repodata_version": 1,
        }
    )


def file_part(path: str, source: Path, size: int, sha256: str) -> Part:
    """Return a member that is a file of this machine. sha256: hex."""
    return Part(path, size, f"sha256:{sha256}", lambda: source.open("rb"))


def _placed(packages: Iterable[PackageFile]) -> dict[str, PackageFile]:
    placed: dict[str, PackageFile] = {}
    for one in packages:
        first = f"{FOLDER}/{one.subdir}/{one.name}"
        own = f"{FOLDER}/{_slug(one.channel)}/{one.subdir}/{one.name}"
        path = first if placed.get(first, one).sha256 == one.sha256 else own
        there = placed.setdefault(path, one)
        if there.sha256 != one.sha256:
            raise BundleError(
                f"{one.channel} has two packages {one.subdir}/{one.name}, with the SHA-256 "
                f"{there.sha256} and {one.sha256}",
                hint="lock the environments again, so that all have the same one",
            )
    return placed


def _slug(channel: str) -> str:
    """Return a name for a channel; the hash keeps it apart from others and from subdirs."""
    name = _SLUG.sub("_", channel.rstrip("/").rpartition("/")[2])[:40].lstrip(".")
    return f"{name}-{hashlib.sha256(channel.encode()).hexdigest()[:8]}"
