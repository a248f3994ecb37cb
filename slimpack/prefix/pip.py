"""What pip did to the files of conda packages.

pip does not know of conda's records. Installing over a conda package it first
removes what the package's RECORD lists, or writes over it (``--ignore-installed``),
or writes the same version anew.
"""

from __future__ import annotations

import base64
import binascii
import csv
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.utils import canonicalize_name

from slimpack.env.dists import Dist
from slimpack.env.meta import Installed, InstalledPackage
from slimpack.prefix.compare import Claim, State, sha256

_METADATA = re.compile(
    r"(?P<site>(?:.+/)?site-packages)/(?P<folder>(?P<name>[^/-]+)-(?P<version>[^/-]+)"
    r"[^/]*\.(?:dist|egg)-info)(?:/(?P<file>.+))?\Z"
)
# Where a wheel can put files: site-packages and the "scripts" and "data" schemes.
_REACH = ("bin/", "share/", "etc/", "include/python")


@dataclass(frozen=True)
class PythonDist:
    """The Python distribution that a conda package contains.

    folder: its ``.dist-info`` or ``.egg-info``, path below the prefix.
    """

    name: str
    version: str
    site: str
    folder: str

    @property
    def described(self) -> tuple[str, ...]:
        """The file that makes it one (PEP 376), by any of its names."""
        return f"{self.folder}/METADATA", f"{self.folder}/PKG-INFO", self.folder


def python_dists(package: InstalledPackage) -> tuple[PythonDist, ...]:
    """Return the distributions whose metadata the package declares."""
    found = {}
    for file in package.files:
        match = _METADATA.match(file.path)
        if match:
            folder = f"{match['site']}/{match['folder']}"
            name = canonicalize_name(match["name"])
            found[folder] = PythonDist(name, match["version"], match["site"], folder)
    return tuple(found.values())


@dataclass(frozen=True)
class Pip:
    """What pip's records say of a prefix; `culprit` is asked about one claim after another."""

    prefix: Path
    installed: Installed
    claims: tuple[Claim, ...]

    @cached_property
    def dists(self) -> dict[str, Dist]:
        """Path below the prefix -> the distribution of pip that lists it."""
        return {
            path: dist
            for dist in (*self.installed.dists, *self._reinstalled())
            for path in dist.files
        }

    def culprit(self, claim: Claim) -> Dist | str:
        """Return the distribution whose file took this one's place, or words, "" for nobody."""
        dist = self.dists.get(claim.path)
        ours = claim.state in (State.SHIPPED, State.RESTORED)
        if ours and claim.package.name not in self._removed:
            return ""
        if dist is not None and claim.path in self._whole(dist):
            return dist
        if claim.state is not State.DELETED:
            return ""
        for own, by in self._removed.get(claim.package.name, ()):
            if claim.path.startswith((f"{own.site}/", *_REACH)):
                return by or f"removed with Python package {own.name} {own.version} (pip uninstall)"
        return ""

    @cached_property
    def _removed(self) -> dict[str, list[tuple[PythonDist, Dist | None]]]:
        """Conda package -> its distributions that pip removed, and what it put there instead."""
        states = {claim.path: claim for claim in self.claims}
        found: dict[str, list[tuple[PythonDist, Dist | None]]] = {}
        named = {dist.name: dist for dist in self.dists.values()}
        for package in self.installed.packages:
            for own in python_dists(package):
                there = [states[path] for path in own.described if path in states]
                if any(claim.state is not State.DELETED for claim in there) or not there:
                    continue
                by = named.get(own.name)
                if by is not None or not self._left(package, own.site):
                    found.setdefault(package.name, []).append((own, by))
        return found

    def _left(self, package: InstalledPackage, site: str) -> bool:
        """Tell whether modules of the package are still there: then no pip removed it."""
        return any(
            claim.intact and claim.path.startswith(f"{site}/") and claim.path.endswith(".py")
            for claim in self.claims
            if claim.package is package and claim.path not in self.dists
        )

    @cached_property
    def _digests(self) -> dict[str, dict[str, str]]:
        return {}

    def _whole(self, dist: Dist) -> dict[str, str]:
        """Return the files of a distribution that are as its RECORD says, each hashed once."""
        known = self._digests.get(dist.folder)
        if known is None:
            known = {
                path: digest
                for path, digest in recorded(self.prefix, dist)
                if _is(self.prefix / path, digest)
            }
            self._digests[dist.folder] = known
        return known

    def _reinstalled(self) -> Iterator[Dist]:
        """Yield distributions that pip wrote where conda had the same version."""
        changed = {claim.path for claim in self.claims if claim.state is State.CHANGED}
        for package in self.installed.packages:
            for own in python_dists(package):
                record = f"{own.folder}/RECORD"
                if record in changed:
                    bare = Dist(own.name, own.version, own.folder, ())
                    files = tuple(path for path, _ in recorded(self.prefix, bare))
                    yield Dist(own.name, own.version, own.folder, files, installer="pip")


def recorded(prefix: Path, dist: Dist) -> Iterator[tuple[str, str]]:
    """Yield (path below the prefix, hex SHA-256) of a RECORD; "" where it has no digest.

    PEP 376 and PEP 427: ``path,sha256=URLSAFE_BASE64,size``, relative to the folder
    that holds the ``.dist-info``. A distribution without RECORD yields its files.
    """
    record = prefix / dist.folder / "RECORD"
    if not record.is_file():
        yield from ((path, "") for path in dist.files)
        return
    text = record.read_text(encoding="utf-8", errors="replace")
    site = posixpath.dirname(dist.folder)
    for row in _rows(text):
        path = posixpath.normpath(posixpath.join(site, row[0]))
        if not path.startswith(("/", "../")):
            yield path, _hexadecimal(row[1] if len(row) > 1 else "")


def _rows(text: str) -> Iterable[list[str]]:
    try:
        return [row for row in csv.reader(text.splitlines()) if row and row[0]]
    except csv.Error:
        return []


def _hexadecimal(digest: str) -> str:
    kind, _, value = digest.partition("=")
    if kind != "sha256":
        return ""
    try:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
    except (ValueError, binascii.Error):
        return ""


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and (not digest or sha256(path) == digest)
