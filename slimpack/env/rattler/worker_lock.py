"""Rattler lock files, for the process in which py-rattler works.

py-rattler 0.28 writes version 7 and reads 1 to 7. It adds a PyPI package by
name, version and location only, so digests and requirements are written into
the text and read back. It imports nothing of slimpack, like `worker`.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import rattler
import yaml
from rattler.exceptions import ParseCondaLockError
from rattler.lock.package import CondaLockedSourcePackage, PypiLockedPackage
from rattler.lock.platform import LockPlatform

ENVIRONMENT = "default"
# rattler's words for a version that only the build tells: of folders, of archives.
_UNKNOWN = ("<dynamic>", "0a0.dev0")
_COMMIT = re.compile(r"@(?P<commit>[^@/#]+)\Z")


class RequestError(Exception):
    """A request that cannot be met; `kind` tells the parent which error to raise."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Part:
    """One platform of a lock.

    pypi: name, version, url, sha256 and requires of each, as `slimpack.env.locks.lock.PypiPackage`.
    """

    subdir: str
    records: list[rattler.RepoDataRecord]
    pypi: list[dict[str, Any]]


def lock_text(parts: list[Part], channels: list[str]) -> str:
    """Return a lock file of one environment and several platforms."""
    platforms = {part.subdir: LockPlatform(part.subdir) for part in parts}
    lock_file = rattler.LockFile(list(platforms.values()))
    lock_file.set_channels(ENVIRONMENT, [rattler.LockChannel(url) for url in channels])
    details: dict[str, dict[str, Any]] = {}
    for part in parts:
        platform = platforms[part.subdir]
        for record in by_name(part.records):
            lock_file.add_conda_package(ENVIRONMENT, platform, record)
        for package in part.pypi:
            location = _location(package["url"])
            version = package["version"] or "0"
            lock_file.add_pypi_package(ENVIRONMENT, platform, package["name"], version, location)
            details[location] = package
    text = _written(lock_file)
    return _detailed(text, details) if details else text


def by_name(records: list[rattler.RepoDataRecord]) -> list[rattler.RepoDataRecord]:
    """Return records in order of name."""
    return sorted(records, key=lambda record: record.name.normalized)


def _written(lock_file: rattler.LockFile) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixi.lock")
        lock_file.to_path(path)
        return path.read_text(encoding="utf-8")


def _detailed(text: str, details: dict[str, dict[str, Any]]) -> str:
    """Return the lock with digests and requirements of its PyPI packages, as rattler writes it.

    Lines are added rather than data dumped: two YAML libraries do not agree on
    which words are numbers.
    """
    lines: list[str] = []
    package: dict[str, Any] | None = None
    for line in text.splitlines():
        if not line.startswith(" "):
            package = details.get(_pypi_location(line))
        if package and not package["version"] and line.startswith("  version:"):
            continue
        lines.append(line)
        if package and line.startswith("  name:"):
            if package["sha256"]:
                lines.append(f"  sha256: {json.dumps(package['sha256'])}")
            if package["requires"]:
                lines.append(f"  requires_dist: {json.dumps(sorted(package['requires']))}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixi.lock")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return _written(open_lock(str(path)))


def _pypi_location(line: str) -> str:
    if not line.startswith("- pypi: "):
        return ""
    item = yaml.load(line, Loader=yaml.BaseLoader)  # noqa: S506 (strings only)
    return str(item[0]["pypi"])


def open_lock(path: str) -> rattler.LockFile:
    """Read a lock file."""
    try:
        return rattler.LockFile.from_path(Path(path))
    except (ParseCondaLockError, OSError) as error:
        raise RequestError("input", f"not a rattler lock file: {error}") from error


def read_part(path: str, name: str, subdir: str) -> tuple[Part, list[str]]:
    """Return one platform of the environment `name`, and the environment's channels."""
    lock_file = open_lock(path)
    environment = lock_file.environment(name)
    if environment is None:
        known = ", ".join(sorted(name for name, _ in lock_file.environments()))
        raise RequestError("input", f"no environment {name!r} (has: {known})")
    platform = lock_platform(environment, subdir)
    packages = environment.packages(platform) or []
    for package in packages:
        if isinstance(package, CondaLockedSourcePackage):
            raise RequestError(
                "input", f"{package.name} is locked as source, which only pixi can build"
            )
    pypi = [
        _describe_pypi(package, Path(path).resolve().parent)
        for package in packages
        if isinstance(package, PypiLockedPackage)
    ]
    records = environment.conda_repodata_records_for_platform(platform) or []
    part = Part(subdir, by_name(records), sorted(pypi, key=lambda package: package["name"]))
    return part, [str(channel) for channel in environment.channels()]


def lock_platform(environment: Any, subdir: str) -> LockPlatform:
    """Return the platform of that subdir."""
    for platform in environment.platforms():
        if str(platform.subdir) == subdir:
            return platform  # type: ignore[no-any-return]
    known = ", ".join(sorted(str(platform.subdir) for platform in environment.platforms()))
    raise RequestError("platform", f"no packages for {subdir} (has: {known})")


def _describe_pypi(package: PypiLockedPackage, folder: Path) -> dict[str, Any]:
    version = package.version
    hashes = package.hashes
    # rattler's Python class fails on a package without hashes.
    sha256 = hashes.sha256 if hashes is not None and hashes._hashes is not None else None
    return {
        "name": re.sub(r"[-_.]+", "-", package.name).lower(),
        "version": "" if version in _UNKNOWN else version,
        "url": _url(package.location, folder),
        "sha256": sha256.hex() if sha256 else "",
        "requires": sorted(package.requires_dist),
    }


def _url(location: str, folder: Path) -> str:
    """Return where a PyPI package lies as pip writes it; paths are relative to the lock."""
    if "://" not in location:
        return Path(folder, location).resolve().as_uri()
    if not location.startswith("git+"):
        return location.removeprefix("direct+")  # pixi's mark of what no index lists
    # pixi writes git+URL?rev=REFERENCE&subdirectory=FOLDER#COMMIT,
    # pip reads git+URL@COMMIT#subdirectory=FOLDER.
    parts = urlsplit(location)
    if not parts.fragment or "=" in parts.fragment:
        return location
    below = parse_qs(parts.query).get("subdirectory", [""])[0]
    tail = f"#subdirectory={quote(below)}" if below else ""
    return f"{parts._replace(query='', fragment='').geturl()}@{parts.fragment}{tail}"


def _location(url: str) -> str:
    """Return the same as pixi writes it; the inverse of `_url`."""
    if not url.startswith("git+"):
        return url
    parts = urlsplit(url)
    match = _COMMIT.search(parts.path)
    if match is None:
        return url
    below = unquote(parts.fragment.removeprefix("subdirectory=")) if parts.fragment else ""
    query = f"subdirectory={quote(below)}&rev={match['commit']}" if below else f"rev={match[1]}"
    path = parts.path[: match.start()]
    return parts._replace(path=path, query=query, fragment=match["commit"]).geturl()


def describe(record: rattler.RepoDataRecord) -> dict[str, Any]:
    """Return the fields of `slimpack.env.locks.lock.LockedPackage`."""
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "url": record.url,
        "sha256": record.sha256.hex() if record.sha256 else "",
        "md5": record.md5.hex() if record.md5 else "",
        "size": record.size or 0,
        "license": record.license or "",
        "depends": list(record.depends),
    }
