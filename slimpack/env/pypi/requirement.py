"""One requirement of pip's: PEP 508, a URL, a repository, or a local file or folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import canonicalize_name

from slimpack.env.redact import redacted
from slimpack.errors import InputError

_VCS = ("git+", "hg+", "svn+", "bzr+")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
_PROJECT = ("pyproject.toml", "setup.py")
_EXTRAS = re.compile(r"(?P<path>.+?)(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\Z", re.DOTALL)


@dataclass(frozen=True)
class Requirement:
    """One thing that pip is asked for.

    text: as pip reads it; for a local file or folder see `path` and `at`.
    where: FILE:LINE or the item of the ``pip:`` section.
    path: absolute, of a local file or folder; None for everything else.
    hashes: ``--hash`` options.
    """

    text: str
    where: str
    path: Path | None = None
    extras: str = ""
    marker: str = ""
    hashes: tuple[str, ...] = ()
    vcs: bool = False
    editable: bool = False

    def at(self, path: Path) -> Requirement:
        """Return the same requirement with its file or folder lying elsewhere."""
        marker = f" ; {self.marker}" if self.marker else ""
        return replace(self, path=path, text=f"{path}{self.extras}{marker}")

    @property
    def url_of(self) -> str:
        """The name of the package whose URL or wheel this is; "" where only its build tells."""
        if self.path is not None:
            wheel = self.path.suffix == ".whl"
            return str(canonicalize_name(self.path.name.partition("-")[0])) if wheel else ""
        parsed = _pep508(self.text)
        return str(canonicalize_name(parsed.name)) if parsed and parsed.url else ""

    @property
    def built(self) -> bool:
        """It names a source, not a wheel, by its place."""
        if self.path is not None:
            return self.path.suffix != ".whl"
        parsed = _pep508(self.text)
        url = (parsed.url or "") if parsed else self.text
        return self.vcs or (bool(url) and not urlsplit(url).path.endswith(".whl"))

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Tell whether its marker, if any, is true in an environment (PEP 508)."""
        parsed = _pep508(self.text) if self.path is None else None
        marker = parsed.marker if parsed else Marker(self.marker) if self.marker else None
        return marker is None or marker.evaluate({"extra": "", **environment})

    @property
    def line(self) -> str:
        """The line for a requirements file."""
        return " ".join((self.text, *(f"--hash={value}" for value in self.hashes)))


def read_requirement(line: str, where: str, cwd: Path) -> Requirement:
    """Read one requirement with its ``--hash`` options.

    where: names the line in messages. cwd: absolute; paths are relative to it.
    Raises InputError for what is malformed and for paths that do not exist.
    """
    text, hashes = _split_hashes(line, where)
    # A bare NAME.whl would pass for the name of a package.
    parsed = None if text.endswith(_ARCHIVES) and " @ " not in text else _pep508(text)
    if parsed is None or parsed.url:
        local = _local(text, parsed, where, cwd)
        if local is not None:
            return replace(local, hashes=hashes)
    url = parsed.url if parsed and parsed.url else text
    if parsed is None and not url.startswith((*_VCS, "https://", "http://")):
        try:
            Pep508(text)
        except InvalidRequirement as error:
            problem = str(error).splitlines()[0]
            raise InputError(
                f"{where}: {redacted(text)!r} is not a requirement: {redacted(problem)}",
                hint="write it as in 'requests >=2.31' or 'name @ https://host/name.whl'",
            ) from error
    return Requirement(text, where, hashes=hashes, vcs=url.startswith(_VCS))


def _split_hashes(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    text, *options = re.split(r"\s+(?=--)", line)
    hashes = []
    for option in options:
        match = re.fullmatch(r"--hash[=\s]\s*(sha(?:256|384|512):[0-9a-fA-F]+)", option.strip())
        if match is None:
            raise InputError(
                f"{where}: {redacted(option.split()[0])} cannot stand after a requirement",
                hint="known after a requirement is --hash=sha256:DIGEST",
            )
        hashes.append(match[1])
    return text.strip(), tuple(hashes)


def _pep508(text: str) -> Pep508 | None:
    try:
        return Pep508(text)
    except InvalidRequirement:
        return None


def _local(text: str, parsed: Pep508 | None, where: str, cwd: Path) -> Requirement | None:
    """Return the requirement as a local file or folder, or None when it is none."""
    if parsed is not None:
        written, marker = parsed.url or "", str(parsed.marker or "")
        extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    else:
        written, _, marker = (part.strip() for part in text.partition("; "))
        match = _EXTRAS.match(written)
        if match is None:  # nothing stands before the marker
            return None
        written, extras = match["path"], match["extras"] or ""
    if written.startswith("file:"):
        written = unquote(urlsplit(written).path)
    elif "://" in written or not _looks_like_path(written):
        return None
    try:
        Marker(marker or "os_name != ''")
    except InvalidMarker as error:
        raise InputError(f"{where}: {marker!r} is not an environment marker") from error
    path = cwd / written
    if not path.exists():
        raise InputError(
            f"{where}: {path} does not exist",
            hint=f"check the path; it is relative to {cwd}",
        )
    if path.is_dir() and not any((path / name).is_file() for name in _PROJECT):
        raise InputError(
            f"{where}: {path} is not a Python project: it has neither of " + " and ".join(_PROJECT)
        )
    return Requirement("", where, extras=extras, marker=marker).at(path.resolve())


def _looks_like_path(text: str) -> bool:
    return "/" in text or text.startswith(".") or text.endswith(_ARCHIVES)
