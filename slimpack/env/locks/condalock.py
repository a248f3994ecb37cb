"""Reading conda-lock.yml, version 1, which conda-lock, mamba and micromamba share.

Source of the format: ``conda_lock/lockfile/v1/models.py`` and its JSON schema.
What conda-lock 4 keeps as a set of categories is written as one entry for each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slimpack.env.inputs.text import MAX_LOCK_BYTES, parse_yaml, read_text, type_name
from slimpack.env.locks.lock import LockedPackage, NotForPlatformError, PypiPackage
from slimpack.env.redact import redacted
from slimpack.errors import InputError

_FILE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(?:conda|tar\.bz2)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_HEX = {"md5": re.compile(r"[0-9a-f]{32}\Z"), "sha256": re.compile(r"[0-9a-f]{64}\Z")}
_SCHEMES = ("http", "https", "file", "oci", "s3")


@dataclass(frozen=True)
class CondaLock:
    """One platform of a conda-lock.yml.

    packages, pypi: in order of name. left_out: (category, number of packages) that
    were not asked for, in order of category.
    channels: as the lock names them, without credentials.
    """

    packages: tuple[LockedPackage, ...]
    pypi: tuple[PypiPackage, ...]
    left_out: tuple[tuple[str, int], ...]
    channels: tuple[str, ...]


def read_conda_lock(path: Path, subdir: str, categories: Sequence[str] = ("main",)) -> CondaLock:
    """Read the packages for a conda platform that belong to one of `categories`.

    Raises InputError, naming the file and the package, for another version, for
    a platform that is not locked and for anything malformed.
    """
    data = _document(path)
    entries = _entries(data["package"], path)
    _check_platform(data["metadata"], entries, subdir, path)
    chosen: dict[tuple[str, str], LockedPackage | PypiPackage] = {}
    unchosen: dict[tuple[str, str], tuple[str, ...]] = {}
    for entry in entries:
        name = entry.text("name")
        if entry.text("platform") != subdir or name.startswith("__"):
            continue
        found = entry.categories()
        package = _conda(entry, subdir) if entry.manager() == "conda" else _pypi(entry)
        key = (entry.manager(), package.name)
        if not set(found) & set(categories):
            unchosen.setdefault(key, found)
        elif chosen.setdefault(key, package) != package:
            raise entry.error("is locked twice, differently")
    left_out = Counter(
        category for key, found in unchosen.items() if key not in chosen for category in found
    )
    packages = [package for package in chosen.values() if isinstance(package, LockedPackage)]
    pypi = [package for package in chosen.values() if isinstance(package, PypiPackage)]
    return CondaLock(
        packages=tuple(sorted(packages, key=lambda package: package.name)),
        pypi=tuple(sorted(pypi, key=lambda package: package.name)),
        left_out=tuple(sorted(left_out.items())),
        channels=_channels(data["metadata"]),
    )


@dataclass(frozen=True)
class _Entry:
    """One item of ``package:`` and where it stands, for messages."""

    data: Mapping[Any, Any]
    where: str

    def error(self, problem: str, hint: str = "") -> InputError:
        name = self.data.get("name")
        named = f" ({name})" if isinstance(name, str) and name.isprintable() else ""
        return InputError(f"{self.where}{named}: {problem}", hint=hint or "make the lock again")

    def text(self, key: str) -> str:
        value = self.data.get(key)
        # YAML reads an unquoted version as a number; what it looked like is then lost.
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.error(f"{key}: expected a string, got {type_name(value)}")
        return value

    def manager(self) -> str:
        manager = self.text("manager")
        if manager not in ("conda", "pip"):
            raise self.error(f"manager: expected conda or pip, got {manager!r}")
        return manager

    def categories(self) -> tuple[str, ...]:
        value = self.data.get("categories", self.data.get("category", "main"))
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self.error(f"category: expected a string, got {type_name(value)}")
        return tuple(values)

    def digest(self, algorithm: str) -> str:
        hashes = self.data.get("hash")
        if not isinstance(hashes, dict):
            raise self.error(f"hash: expected md5 and sha256, got {type_name(hashes)}")
        value = hashes.get(algorithm) or ""
        if not isinstance(value, str):
            raise self.error(f"hash: {algorithm}: expected a string, got {type_name(value)}")
        return value.lower()

    def checked_digest(self, algorithm: str) -> str:
        digest = self.digest(algorithm)
        if digest and not _HEX[algorithm].match(digest):
            raise self.error(f"hash: {digest[:80]!r} is not an {algorithm} digest")
        return digest

    def dependencies(self) -> dict[str, str]:
        value = self.data.get("dependencies") or {}
        if not isinstance(value, dict) or not all(
            isinstance(item, str) for pair in value.items() for item in pair
        ):
            raise self.error(f"dependencies: expected NAME: VERSION pairs, got {type_name(value)}")
        return value

    def url(self, value: str) -> str:
        # conda-lock keeps credentials as variables; ours come from where rattler and
        # pip look, and a lock from elsewhere must not read the environment.
        value = redacted(value) if "$" in value else value
        if "$" in value:
            raise self.error(f"url: {value!r} holds a variable")
        try:
            urlsplit(value)
        except ValueError as error:
            raise self.error(f"url: {value!r} is not a URL: {error}") from error
        return value


def _document(path: Path) -> dict[str, Any]:
    text = read_text(path, limit=MAX_LOCK_BYTES, what="a conda-lock.yml")
    data = parse_yaml(text, path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a conda-lock.yml: got {type_name(data)}")
    version = data.get("version")
    if version != 1 or isinstance(version, bool):
        raise InputError(
            f"{path}: version: expected 1, got {type_name(version)}",
            hint="make the lock with conda-lock 1 or later",
        )
    for key, kind in (("metadata", dict), ("package", list)):
        if not isinstance(data.get(key), kind):
            raise InputError(f"{path}: {key}: got {type_name(data.get(key))}")
    return data


def _entries(items: list[Any], path: Path) -> list[_Entry]:
    entries = []
    for number, item in enumerate(items, 1):
        where = f"{path}: package {number}"
        if not isinstance(item, dict):
            raise InputError(f"{where}: expected a mapping, got {type_name(item)}")
        entries.append(_Entry(item, where))
    return entries


def _check_platform(
    metadata: Mapping[str, Any], entries: Sequence[_Entry], subdir: str, path: Path
) -> None:
    named = metadata.get("platforms") or []
    known = {str(item) for item in named} if isinstance(named, list) else set()
    known |= {entry.text("platform") for entry in entries}
    if subdir not in known:
        raise NotForPlatformError(
            f"{path}: no packages for {subdir} (has: {', '.join(sorted(known)) or 'none'})",
            hint=f"lock again with `conda-lock --platform {subdir}`",
        )


def _channels(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for channel in metadata.get("channels") or []:
        url = channel.get("url") if isinstance(channel, dict) else channel
        if isinstance(url, str):
            found.append(redacted(url))
    return tuple(found)


def _conda(entry: _Entry, subdir: str) -> LockedPackage:
    url = entry.url(entry.text("url"))
    parts = url.partition("#")[0].rsplit("/", 2)
    match = _FILE.match(unquote(parts[-1]))
    if match is None or len(parts) != 3 or urlsplit(url).scheme not in _SCHEMES:
        raise entry.error(f"url: {url!r} is not the URL of a conda package")
    if parts[1] not in (subdir, "noarch"):
        raise entry.error(f"url: {url!r} is not for {subdir}")
    name, version = entry.text("name").lower(), entry.text("version")
    if (match["name"].lower(), match["version"]) != (name, version):
        raise entry.error(f"url: {url!r} is not that of {name} {version}")
    md5, sha256 = entry.checked_digest("md5"), entry.checked_digest("sha256")
    if not (md5 or sha256):
        raise entry.error("hash: neither md5 nor sha256")
    return LockedPackage(
        name=name,
        version=version,
        build=match["build"],
        subdir=parts[1],
        url=url,
        sha256=sha256,
        md5=md5,
        depends=tuple(
            f"{name} {version}".strip() for name, version in entry.dependencies().items()
        ),
    )


def _pypi(entry: _Entry) -> PypiPackage:
    source = entry.data.get("source")
    url = source.get("url") if isinstance(source, dict) else None
    url = entry.url(url if isinstance(url, str) and url else entry.text("url"))
    name = entry.text("name")
    if not _NAME.match(name):
        raise entry.error(f"name: {name!r} is not the name of a package")
    # conda-lock puts the commit of a VCS package where the digest belongs.
    vcs = url.startswith(("git+", "hg+", "svn+", "bzr+"))
    return PypiPackage(
        name=canonicalize_name(name),
        version=entry.text("version"),
        url=url,
        sha256="" if vcs else entry.checked_digest("sha256"),
        requires=tuple(_requires(entry.dependencies())),
    )


def _requires(dependencies: Mapping[str, str]) -> Iterator[str]:
    for name, version in sorted(dependencies.items()):
        text = name if version in ("", "*") else f"{name}{version}"
        try:
            yield str(Requirement(text))
        except InvalidRequirement:
            yield name  # poetry's own syntax; what is locked is locked
