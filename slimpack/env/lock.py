"""Which packages, exactly: the solved environment.

A `Lock` always stands on a rattler lock file (``pixi.lock`` format), the one
that other tools read and that the installer is given; slimpack has no lock
format of its own. `explicit_text` renders the same as an ``@EXPLICIT`` list
for conda, mamba and micromamba.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from slimpack.env.redact import redacted
from slimpack.env.spec import read_text
from slimpack.errors import InputError
from slimpack.files import atomic_file

_HASHES = {32: "md5", 64: "sha256"}
_ARCHIVE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)\Z")


@dataclass(frozen=True)
class LockedPackage:
    """One package of a lock.

    md5 and sha256: lower-case hex, "" when the lock does not say.
    depends: match specs of the run-time dependencies.
    size: bytes of the archive, 0 when the lock does not say.
    """

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str = ""
    md5: str = ""
    size: int = 0
    license: str = ""
    depends: tuple[str, ...] = ()

    @property
    def dist(self) -> str:
        """``name-version-build``, the stem of its archive and of its conda-meta file."""
        return f"{self.name}-{self.version}-{self.build}"


@dataclass(frozen=True)
class PypiPackage:
    """One package of a lock that pip installs.

    name: normalised (PEP 503). url: of a wheel or an sdist, ``git+https://...@COMMIT``,
    or ``file:``. sha256: lower-case hex, "" where there is no file to hash (VCS, folder).
    requires: its run-time requirements (PEP 508).
    """

    name: str
    version: str
    url: str
    sha256: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    """A solved environment for one platform.

    platform: conda subdir, such as ``linux-64``.
    packages: in order of name.
    text: the same as a rattler lock file.
    pypi: what pip installs on top, in order of name; in `text` too.
    """

    platform: str
    packages: tuple[LockedPackage, ...]
    text: str
    pypi: tuple[PypiPackage, ...] = ()

    def get(self, name: str) -> LockedPackage | None:
        """Return the package of that name, or None."""
        return next((package for package in self.packages if package.name == name), None)


@dataclass(frozen=True)
class ExplicitEntry:
    """One line of an ``@EXPLICIT`` list: a URL and the digest it must have, if any."""

    url: str
    algorithm: str
    digest: str


def read_explicit(path: Path) -> tuple[ExplicitEntry, ...]:
    """Read an ``@EXPLICIT`` list as conda writes it.

    A line is ``URL``, ``URL#md5`` or ``URL#sha256`` (optionally with a
    ``sha256:`` or ``md5:`` prefix, as conda >= 24 and micromamba write).
    Raises InputError with file and line.
    """
    lines = read_text(path).splitlines()
    entries: list[ExplicitEntry] = []
    seen_marker = False
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if line == "@EXPLICIT":
            seen_marker = True
        elif line and not line.startswith("#"):
            if not seen_marker:
                raise InputError(f"{path}:{number}: a package before the line @EXPLICIT")
            entries.append(_explicit_entry(line, path, number))
    if not entries:
        raise InputError(f"{path}: no package after @EXPLICIT")
    return tuple(entries)


def _explicit_entry(line: str, path: Path, number: int) -> ExplicitEntry:
    url, _, fragment = line.partition("#")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{path}:{number}: {url!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https", "file", "oci", "s3"):
        raise InputError(f"{path}:{number}: expected the URL of a package, got {line!r}")
    if not _ARCHIVE.match(parts.path.rpartition("/")[2]):
        raise InputError(
            f"{path}:{number}: {url!r} is not named NAME-VERSION-BUILD.conda or .tar.bz2"
        )
    algorithm, _, digest = fragment.rpartition(":")
    digest = digest.lower()
    if fragment and not re.fullmatch(r"[0-9a-f]+", digest):
        raise InputError(f"{path}:{number}: {fragment!r} is neither an MD5 nor a SHA-256 digest")
    found = _HASHES.get(len(digest), "") if fragment else ""
    if fragment and (not found or algorithm not in ("", found)):
        raise InputError(f"{path}:{number}: {fragment!r} is neither an MD5 nor a SHA-256 digest")
    return ExplicitEntry(url=url, algorithm=found, digest=digest if found else "")


def explicit_text(lock: Lock) -> str:
    """Render a lock as an ``@EXPLICIT`` list, with MD5 digests since every conda reads those.

    Packages stand in order of name; conda, mamba and micromamba sort by
    dependency themselves when they install.
    """
    lines = [
        "# This file may be used to create an environment using:",
        "# $ conda create --name <env> --file <this file>",
        f"# platform: {lock.platform}",
        "@EXPLICIT",
    ]
    for package in lock.packages:
        digest = package.md5 or package.sha256
        lines.append(f"{package.url}#{digest}" if digest else package.url)
    return "\n".join(lines) + "\n"


def write_lock(lock: Lock, path: Path) -> None:
    """Write a lock: ``@EXPLICIT`` when the name ends in .txt, else a rattler lock.

    The file appears whole or not at all. It holds no credentials: whoever
    installs from it has their own.
    """
    text = explicit_text(lock) if path.suffix == ".txt" else lock.text
    with atomic_file(path) as stream:
        stream.write(redacted(text).encode())
