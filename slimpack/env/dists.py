"""Python distributions that pip or uv put into a prefix: ``*.dist-info``.

Formats: PEP 376 and PEP 427 (RECORD), PEP 610 (direct_url.json), core metadata,
and what setuptools wrote before there were wheels (``.egg-info``, ``.egg-link``,
``easy-install.pth``).
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

from slimpack.errors import InputError

_MAX_METADATA_BYTES = 8 * 1024 * 1024
_MAX_RECORD_BYTES = 64 * 1024 * 1024
_MAX_LICENSE = 100
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*\Z")
_REPAIR = "install the package again with pip, or remove the folder"


@dataclass(frozen=True)
class Dist:
    """One installed distribution that no conda package owns.

    name: normalised (PEP 503).
    folder: its ``.dist-info``, path below the prefix (its ``.egg-info`` or ``.egg-link``
        where setuptools made one of those).
    files: what RECORD lists, normal paths below the prefix (those outside are left out).
    installer: what INSTALLER says, "" when it says nothing.
    url: of direct_url.json, "" when there is none.
    editable: it only points to a source folder (`url`).
    requires: normalised names of what it requires in this environment, without extras.
    """

    name: str
    version: str
    folder: str
    files: tuple[str, ...]
    installer: str = ""
    url: str = ""
    editable: bool = False
    license: str = ""
    requires: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """What `Entry.owner` says for its files; never the name of a conda package."""
        return f"pypi:{self.name}"


def read_dists(prefix: Path, owned: Container[str]) -> tuple[Dist, ...]:
    """Read every distribution of `prefix` that no conda package owns, in order of name.

    owned: paths below the prefix that conda packages own; a ``.dist-info`` among
        them is conda's.

    As pip does, what a broken uninstall left (``~ame``, a folder without METADATA)
    is passed over. Raises InputError, naming the file, for metadata, records and
    links that are malformed.
    """
    found: list[Dist] = []
    for site in site_folders(prefix):
        for folder in _metadata_folders(site):
            if not _is_owned(folder, prefix, owned):
                dist = _dist(folder, prefix)
                found += [dist] if dist else []
        found += _linked(site, prefix)
    return tuple(sorted(found, key=lambda dist: (dist.name, dist.folder)))


def owned_dists(prefix: Path, owners: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the distributions that conda packages brought: name -> (version, conda package).

    owners: path below the prefix -> conda package (`Installed.owners`). pip sees
    these as installed. What cannot be read is left out, as pip does.
    """
    found: dict[str, tuple[str, str]] = {}
    for site in site_folders(prefix):
        for folder in _metadata_folders(site):
            file = _metadata_file(folder)
            owner = owners.get(_below(file, prefix), "") if file else ""
            if file is None or not owner or owner.startswith("pypi:"):
                continue
            try:
                name, version = _described(file)[:2]
            except InputError:
                continue
            found[name] = version, owner
    return found


def site_folders(prefix: Path) -> list[Path]:
    """Return the ``site-packages`` folders of a prefix that are no links to another."""
    return [
        site
        for site in sorted(prefix.glob("lib/py*/site-packages"))
        # conda's Python 3.10 and later has a link lib/python3.1.
        if site.is_dir() and not site.is_symlink() and not site.parent.is_symlink()
    ]


def _metadata_folders(site: Path) -> Iterator[Path]:
    for path in sorted(site.iterdir()):
        known = path.name.endswith((".dist-info", ".egg-info"))
        if known and not path.name.startswith("~") and not path.is_symlink():
            yield path


def _metadata_file(folder: Path) -> Path | None:
    if not folder.is_dir():
        return folder  # distutils wrote a single file
    file = folder / ("METADATA" if folder.name.endswith(".dist-info") else "PKG-INFO")
    return file if file.is_file() and not file.is_symlink() else None


def _is_owned(folder: Path, prefix: Path, owned: Container[str]) -> bool:
    """Tell whether conda brought this folder; pip adds files to those that it has touched."""
    names = ("METADATA", "PKG-INFO", "RECORD", "INSTALLER")
    below = _below(folder, prefix)
    return below in owned or any(f"{below}/{name}" in owned for name in names)


def _below(path: Path, prefix: Path) -> str:
    return path.relative_to(prefix).as_posix()


def _dist(folder: Path, prefix: Path) -> Dist | None:
    file = _metadata_file(folder)
    if file is None:
        return None
    name, version, license_text, requires = _described(file)
    files = _listed(folder, prefix)
    url, editable = _origin(folder / "direct_url.json")
    if not url:
        url = _setuptools_editable(prefix, files)
        editable = bool(url)
    installer = folder / "INSTALLER"
    return Dist(
        name=name,
        version=version,
        folder=_below(folder, prefix),
        files=files,
        installer=_text(installer, _MAX_METADATA_BYTES).strip() if installer.is_file() else "",
        url=url,
        editable=editable,
        license=license_text,
        requires=requires,
    )


def _described(file: Path) -> tuple[str, str, str, tuple[str, ...]]:
    """Return name, version, license and requirements of a METADATA or PKG-INFO file."""
    raw, _ = parse_email(_text(file, _MAX_METADATA_BYTES))
    name, version = raw.get("name", ""), raw.get("version", "")
    try:
        normal = str(canonicalize_name(name, validate=True))
    except InvalidName as error:
        raise InputError(f"{file}: {name!r} is not a package name", hint=_REPAIR) from error
    if not _VERSION.match(version):
        raise InputError(f"{file}: {version!r} is not a version", hint=_REPAIR)
    return normal, version, _license(raw), _requires(raw)


def _requires(raw: RawMetadata) -> tuple[str, ...]:
    """Return the names of Requires-Dist that are not for an extra; other markers are not asked."""
    names = set()
    for text in raw.get("requires_dist", []):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip reads over it too
        if "extra" not in str(requirement.marker or ""):
            names.add(str(canonicalize_name(requirement.name)))
    return tuple(sorted(names))


def _license(raw: RawMetadata) -> str:
    text = raw.get("license_expression") or raw.get("license") or ""
    if text and "\n" not in text and len(text) <= _MAX_LICENSE:
        return text
    named = [line for line in raw.get("classifiers", []) if line.startswith("License :: ")]
    return " AND ".join(line.rpartition(" :: ")[2] for line in named)


def _text(file: Path, limit: int) -> str:
    try:
        if file.stat().st_size > limit:
            raise InputError(f"{file}: larger than {limit >> 20} MiB", hint=_REPAIR)
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start})", hint=_REPAIR) from error
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error


def _listed(folder: Path, prefix: Path) -> tuple[str, ...]:
    """Return the files of a distribution; its metadata where there is no list of all."""
    if not folder.is_dir():
        return (_below(folder, prefix),)
    record, old = folder / "RECORD", folder / "installed-files.txt"
    if record.is_file() and not record.is_symlink():
        return _normal(_below(folder.parent, prefix), record_paths(record))
    if old.is_file() and not old.is_symlink():
        lines = _text(old, _MAX_RECORD_BYTES).splitlines()
        return _normal(_below(folder, prefix), [*lines, old.name])
    return _normal(_below(folder, prefix), sorted(path.name for path in folder.iterdir()))


def record_paths(record: Path) -> list[str]:
    """Return the first column of a RECORD (PEP 376: CSV of path, hash, size)."""
    text = _text(record, _MAX_RECORD_BYTES)
    try:
        return [row[0] for row in csv.reader(text.splitlines()) if row and row[0]]
    except csv.Error as error:
        raise InputError(f"{record}: not a RECORD: {error}", hint=_REPAIR) from error


def _normal(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Return paths relative to `folder` as normal paths below the prefix, once each."""
    found = set()
    for path in paths:
        normal = posixpath.normpath(posixpath.join(folder, path))
        outside = path.startswith("/") or normal in ("..", ".") or normal.startswith("../")
        if path and not outside and "\0" not in path:
            found.add(normal)
    return tuple(sorted(found))


def _origin(file: Path) -> tuple[str, bool]:
    """Return (url, editable) of a direct_url.json, ("", False) when there is none."""
    if not file.is_file() or file.is_symlink():
        return "", False
    try:
        data: Any = json.loads(_text(file, _MAX_METADATA_BYTES))
        url, info = data["url"], data.get("dir_info") or {}
        if not isinstance(url, str) or not isinstance(info, dict):
            raise TypeError("'url' must be a string and 'dir_info' an object")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: not a direct_url.json: {error}", hint=_REPAIR) from error
    return url, info.get("editable") is True


def _setuptools_editable(prefix: Path, files: tuple[str, ...]) -> str:
    """Return the folder (URL) that a setuptools editable install without PEP 610 points to."""
    for path in files:
        if posixpath.basename(path).startswith("__editable__") and path.endswith(".pth"):
            pth = prefix / path
            lines = _text(pth, _MAX_METADATA_BYTES).splitlines() if pth.is_file() else []
            if lines and lines[0].startswith("/"):
                return _file_url(lines[0])
    return ""


def _linked(site: Path, prefix: Path) -> Iterator[Dist]:
    """Yield what ``setup.py develop`` left: ``NAME.egg-link``, or a bare easy-install.pth."""
    seen = set()
    for link in sorted(site.glob("*.egg-link")):
        lines = _text(link, _MAX_METADATA_BYTES).splitlines()
        if lines and lines[0].startswith("/"):
            seen.add(posixpath.normpath(lines[0]))
            name, version = _egg_info(lines[0]) or (_link_name(link), "0")
            yield _pointer(name, version, lines[0], link, prefix)
    easy = site / "easy-install.pth"
    for line in _text(easy, _MAX_METADATA_BYTES).splitlines() if easy.is_file() else []:
        if line.startswith("/") and posixpath.normpath(line) not in seen:
            described = _egg_info(line)
            if described:
                yield _pointer(*described, line, easy, prefix)


def _link_name(link: Path) -> str:
    try:
        return str(canonicalize_name(link.stem, validate=True))
    except InvalidName as error:
        raise InputError(f"{link}: not the name of a package", hint=_REPAIR) from error


def _egg_info(folder: str) -> tuple[str, str] | None:
    try:
        files = sorted(Path(folder).glob("*.egg-info/PKG-INFO"))
    except OSError:
        return None
    return _described(files[0])[:2] if len(files) == 1 else None


def _pointer(name: str, version: str, folder: str, file: Path, prefix: Path) -> Dist:
    below = _below(file, prefix)
    return Dist(name, version, below, (below,), url=_file_url(folder), editable=True)


def _file_url(folder: str) -> str:
    return "file://" + quote(posixpath.normpath(folder))
