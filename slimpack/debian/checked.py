"""Whether what is said of a package can be so."""

from __future__ import annotations

import re

from slimpack.debian.model import ResolvedPackage
from slimpack.debian.versions import Version

_SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_package(package: ResolvedPackage) -> ResolvedPackage:
    """Return `package` if its fields can be what they say; ValueError if not."""
    Version(package.version)
    if not _SHA256.fullmatch(package.sha256):
        raise ValueError(f"{package.name}: not a SHA-256: {package.sha256!r}")
    if package.size <= 0:
        raise ValueError(f"{package.name}: a size of {package.size}")
    parts = package.filename.split("/")
    if not package.filename.endswith(".deb") or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{package.name}: not a path in the archive: {package.filename!r}")
    if package.archive not in ("main", "security"):
        raise ValueError(f"{package.name}: no archive {package.archive!r}")
    return package
