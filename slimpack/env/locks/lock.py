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
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from slimpack.env.inputs.text import MAX_LOCK_BYTES, read_text
from slimpack.errors import InputError

_HASHES = {32: "md5", 64: "sha256"}
_PIP_COMMENT = re.compile(r"#\s?pip\s+(?P<rest>\S.*)\Z")
_PIP_LINE = re.compile(
    r"""
    (?P<name>[A-Za-z0-9][A-Za-z0-9._-]*) \s*(?:\[[^\]]*\])?\s* @ \s*
    (?P<url>[a-z][a-z0-9+.-]*://\S+?)
    (?:\#sha256[=:](?P<fragment>\S+))?
    (?:\s+--hash=sha256:(?P<option>\S+))? \Z""",
    re.VERBOSE,
)
_ARCHIVE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)\Z")


class NotForPlatformError(InputError):
    """A lock that is well formed, but holds nothing for the platform that was asked for."""


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

    name: normalised (PEP 503). version: "" where only the build of a source tells it.
    url: of a wheel or an sdist, ``git+https://...@COMMIT``, or ``file:``.
    sha256: lower-case hex, "" where there is no file to hash (VCS, folder).
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
    Raises InputError with file and line. conda-lock's comments for pip packages
    are read by `read_explicit_pypi`.
    """
    lines = _lines(path)
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


def _lines(path: Path) -> list[str]:
    return read_text(path, limit=MAX_LOCK_BYTES, what="an @EXPLICIT list").split("\n")


def read_explicit_pypi(path: Path) -> tuple[PypiPackage, ...]:
    """Read the pip packages of an ``@EXPLICIT`` list, which conda-lock writes as comments.

    A line is ``# pip NAME @ URL`` with ``#sha256=HEX`` at the end of the URL
    (conda-lock's `render_lockfile_for_platform`) or ``--hash=sha256:HEX`` behind
    it. Any other comment that begins with ``# pip`` is a comment. Raises
    InputError with file and line for a digest that is none.
    """
    found: dict[str, PypiPackage] = {}
    for number, line in enumerate(_lines(path), 1):
        comment = _PIP_COMMENT.match(line.strip())
        match = _PIP_LINE.match(comment["rest"].strip()) if comment else None
        if match is None:
            continue
        digest = (match["fragment"] or match["option"] or "").lower()
        if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise InputError(f"{path}:{number}: {digest!r} is not a SHA-256 digest")
        name = canonicalize_name(match["name"])
        if name in found:
            raise InputError(f"{path}:{number}: a second line for the pip package {name}")
        found[name] = PypiPackage(
            name=name,
            version=version_of_file(match["url"]),
            url=match["url"],
            sha256=digest,
        )
    return tuple(found[name] for name in sorted(found))


def version_of_file(url: str) -> str:
    """Return the version that the name of a wheel or an sdist tells, "" for anything else."""
    try:
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        if name.endswith(".whl"):
            return str(parse_wheel_filename(name)[1])
        return str(parse_sdist_filename(name)[1])
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):  # ValueError: no URL
        return ""


def explicit_text(lock: Lock) -> str:
    """Render a lock as an ``@EXPLICIT`` list, with MD5 digests since every conda reads those.

    Packages stand in order of name; conda, mamba and micromamba sort by
    dependency themselves when they install. pip packages are the comments that
    conda-lock, micromamba and slimpack read; conda passes over them.
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
    for pypi in lock.pypi:
        fragment = f"#sha256={pypi.sha256}" if pypi.sha256 else ""
        lines.append(f"# pip {pypi.name} @ {pypi.url}{fragment}")
    return "\n".join(lines) + "\n"
