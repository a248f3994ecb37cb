"""What the URL of a locked pip package says."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from slimpack.env.locks.lock import PypiPackage

VCS = ("git+", "hg+", "svn+", "bzr+")


def source_kind(package: PypiPackage) -> str:
    """Return "vcs", "wheel", "sdist" or "folder"."""
    if package.url.startswith(VCS):
        return "vcs"
    if file_name(package.url).endswith(".whl"):
        return "wheel"
    local = package.url.startswith("file:") and not package.sha256
    return "folder" if local else "sdist"


def file_name(url: str) -> str:
    """Return the last part of a URL's path."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def is_version(version: str) -> bool:
    """Tell whether this is a version that pip can compare (PEP 440)."""
    try:
        Version(version)
    except InvalidVersion:
        return False
    return True
