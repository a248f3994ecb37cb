"""The packages that the records in a tree name, and which files are theirs.

Formats: conda-meta (conda's prefix records), core metadata and RECORD (PEP 376, PEP
427), and distroless' ``var/lib/dpkg/status.d``. Unlike `slimpack.env.meta`, which reads
an environment that is about to be packed, this takes records for untrusted text: what
cannot be read becomes a problem to report, and the rest is still looked at.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import posixpath
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Any, Literal

from slimpack.tree import Entry, Kind, Tree, check_path, under

PackageKind = Literal["conda", "pypi", "debian"]

MAX_RECORD = 64 << 20
"""Bytes; larger records are not read."""

_CONDA = re.compile(r"(?:(?P<prefix>.+)/)?conda-meta/[^/]+\.json\Z")
_DIST = re.compile(r"(?P<site>(?:.*/)?(?:site|dist)-packages)/[^/]+\.dist-info/METADATA\Z")
_STATUS = re.compile(r"var/lib/dpkg/status\.d/(?P<name>[^/]+)\Z")
_DPKG_INFO = re.compile(r"var/lib/dpkg/info/(?P<name>[^/]+)\.list\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class RecordedFile:
    """A file that a record lists. path: in the tree. sha256: in hex, "" when it names none."""

    path: str
    sha256: str = ""


@dataclass(frozen=True)
class Package:
    """A package that a record in the tree names.

    record: path of that record. license: as the record has it, "" for none.
    license_files: paths in the tree that the record calls its licences.
    """

    kind: PackageKind
    name: str
    version: str
    record: str
    license: str = ""
    files: tuple[RecordedFile, ...] = ()
    license_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Records:
    """All of them. problems: (path, why) of records that cannot be read."""

    packages: tuple[Package, ...]
    problems: tuple[tuple[str, str], ...] = ()

    def owners(self) -> dict[str, str]:
        """Return path in the tree -> name of the package that lists it.

        As pip writes over what conda installed, its claim counts first.
        """
        order = {"pypi": 0, "conda": 1, "debian": 2}
        found: dict[str, str] = {}
        for package in sorted(self.packages, key=lambda one: (order[one.kind], one.name)):
            found.setdefault(package.record, package.name)
            for file in package.files:
                found.setdefault(file.path, package.name)
        return found


def find_prefix(tree: Tree) -> str | None:
    """Return the path of the environment in `tree` ("" for its root); None without one.

    Of several, the one with most packages: others lie inside of it (``envs/``).
    """
    counts: dict[str, int] = {}
    for entry in tree:
        if match := _CONDA.match(entry.path):
            prefix = match["prefix"] or ""
            counts[prefix] = counts.get(prefix, 0) + 1
    return max(sorted(counts), key=lambda prefix: counts[prefix]) if counts else None


def read_records(tree: Tree, known: Container[str] = frozenset()) -> Records:
    """Read all records of `tree`: conda's, then those of pip, then Debian's.

    known: paths of those that are left out.
    """
    packages: list[Package] = []
    problems: list[tuple[str, str]] = []

    def read(entries: Iterable[Entry], reader: Any) -> None:
        for entry in entries:
            try:
                packages.append(reader(entry, tree))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                problems.append((entry.path, f"{type(error).__name__}: {error}"[:200]))

    files = [entry for entry in tree if entry.kind is Kind.FILE and entry.path not in known]
    read((entry for entry in files if _CONDA.match(entry.path)), _conda)
    owned = {file.path for package in packages for file in package.files}
    dists = [entry for entry in files if _DIST.match(entry.path) and entry.path not in owned]
    read(dists, _pypi)
    read((entry for entry in files if _is_status(entry.path)), _debian)
    read((entry for entry in files if _DPKG_INFO.match(entry.path)), _dpkg)
    return Records(tuple(packages), tuple(problems))


def metadata(entry: Entry) -> Message:
    """Return the headers of a METADATA file or a Debian control file; ValueError if too large."""
    return HeaderParser().parsestr(_data(entry).decode("utf-8", "replace"))


def licences_of(entry: Entry) -> tuple[str, tuple[str, ...]]:
    """Return the licence that a METADATA names, and the paths of its licence files.

    PEP 639 puts them below ``licenses/``; before, they lay beside METADATA.
    """
    fields = metadata(entry)
    text = str(fields.get("License-Expression") or fields.get("License") or "").strip()
    if not text or text == "UNKNOWN":
        named = [str(line) for line in fields.get_all("Classifier", []) if "License ::" in line]
        text = " AND ".join(line.rpartition(" :: ")[2] for line in named)
    files = [str(name).strip() for name in fields.get_all("License-File", [])]
    return text.splitlines()[0][:100] if text else "", tuple(filter(None, files))


def _data(entry: Entry) -> bytes:
    if entry.size > MAX_RECORD:
        raise ValueError(f"larger than {MAX_RECORD >> 20} MiB")
    return entry.read()


def _conda(entry: Entry, tree: Tree) -> Package:
    match = _CONDA.match(entry.path)
    prefix = match["prefix"] or "" if match else ""
    record = json.loads(_data(entry))
    digests: dict[str, str] = {}
    for item in (record.get("paths_data") or {}).get("paths", []):
        digests[str(item["_path"])] = _conda_digest(item)
    files = []
    for name in record["files"]:
        path = under(prefix, str(name))
        check_path(path)
        files.append(RecordedFile(path, digests.get(name, "")))
    return Package(
        kind="conda",
        name=str(record["name"]),
        version=str(record["version"]),
        record=entry.path,
        license=str(record.get("license") or ""),
        files=tuple(files),
    )


def _conda_digest(item: dict[str, Any]) -> str:
    """Return the digest of a file as it is installed; "" where only the packaged one is known."""
    installed, packaged = item.get("sha256_in_prefix"), item.get("sha256")
    if not installed and item.get("prefix_placeholder"):
        return ""
    if item.get("path_type") in ("softlink", "directory"):
        return ""
    digest = str(installed or packaged or "")
    return digest if _SHA256.match(digest) else ""


def _pypi(entry: Entry, tree: Tree) -> Package:
    folder = posixpath.dirname(entry.path)
    fields = metadata(entry)
    listed = tree.get(f"{folder}/RECORD")
    text, names = licences_of(entry)
    return Package(
        kind="pypi",
        name=str(fields["Name"] or posixpath.basename(folder).partition("-")[0]),
        version=str(fields["Version"] or ""),
        record=entry.path,
        license=text,
        files=tuple(_lines(listed)) if listed and listed.kind is Kind.FILE else (),
        license_files=tuple(f"{folder}/{name}" for name in names),
    )


def _lines(record: Entry) -> Iterator[RecordedFile]:
    """Yield what a RECORD lists, inside of the tree."""
    site = posixpath.dirname(posixpath.dirname(record.path))
    try:
        rows = list(csv.reader(_data(record).decode("utf-8").splitlines()))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    for row in rows:
        if not row or not row[0] or row[0].startswith("/"):
            continue
        path = posixpath.normpath(posixpath.join(site, row[0]))
        if not path.startswith("../"):
            check_path(path)
            yield RecordedFile(path, _pip_digest(row[1]) if len(row) > 1 else "")


def _pip_digest(text: str) -> str:
    name, _, value = text.partition("=")
    if name != "sha256":
        return ""
    try:
        return base64.urlsafe_b64decode(f"{value}{'=' * (-len(value) % 4)}").hex()
    except (binascii.Error, ValueError):
        return ""


def _is_status(path: str) -> bool:
    return bool(_STATUS.match(path)) and not path.endswith(".md5sums")


def _debian(entry: Entry, tree: Tree) -> Package:
    fields = metadata(entry)
    sums = tree.get(f"{entry.path}.md5sums")
    lines = _data(sums).decode("utf-8", "replace").splitlines() if sums else []
    paths = [line[34:].strip() for line in lines if len(line) > 34]
    return _deb(str(fields["Package"]), str(fields["Version"] or ""), entry.path, paths)


def _dpkg(entry: Entry, tree: Tree) -> Package:
    match = _DPKG_INFO.match(entry.path)
    name = match["name"].partition(":")[0] if match else ""
    return _deb(name, "", entry.path, _data(entry).decode("utf-8", "replace").splitlines())


def _deb(name: str, version: str, record: str, paths: Iterable[str]) -> Package:
    normal = [posixpath.normpath(path.strip()).strip("/") for path in paths]
    return Package(
        kind="debian",
        name=name,
        version=version,
        record=record,
        files=tuple(RecordedFile(path) for path in normal if path and path != "."),
        license_files=(f"usr/share/doc/{name}/copyright",),
    )
