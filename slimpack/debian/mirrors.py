"""Where the Debian archives are.

An address chosen here is only ever downloaded from: signatures and digests
decide what is believed, and no address gets into an image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from slimpack.debian.aptsources import apt_mirrors
from slimpack.errors import InputError

MAIN_VARIABLE = "SLIMPACK_DEBIAN_MIRROR"
SECURITY_VARIABLE = "SLIMPACK_DEBIAN_SECURITY_MIRROR"
DEFAULT_MAIN = "http://ftp.debian.org/debian"
APT_DIR = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class DebianMirrors:
    """Addresses of the two archives (the folders that hold ``dists`` and ``pool``)."""

    main: str
    security: str

    def url(self, archive: str) -> str:
        """Return the address of "main" or "security"."""
        return self.security if archive == "security" else self.main


def find_mirrors(
    suite: str,
    *,
    main: str = "",
    security: str = "",
    environ: Mapping[str, str] = os.environ,
    apt_dir: Path = APT_DIR,
) -> DebianMirrors:
    """Choose the mirrors: arguments, else environment, else apt's, else Debian's.

    A main archive that is given without its security archive gets the sibling
    that mirrors have by custom: ``.../debian`` and ``.../debian-security``.
    """
    main = _checked(main or environ.get(MAIN_VARIABLE, ""), MAIN_VARIABLE)
    security = _checked(security or environ.get(SECURITY_VARIABLE, ""), SECURITY_VARIABLE)
    if not main:
        main, apt_security = apt_mirrors(apt_dir, suite)
        security = security or apt_security
    main = main or DEFAULT_MAIN
    return DebianMirrors(main, security or _sibling(main))


def _sibling(main: str) -> str:
    return f"{main}-security"


def _checked(url: str, name: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{name}: not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(
            f"{public_url(url)!r} is no address of a Debian archive",
            hint=f"{name} (or mirror in the configuration) looks like {DEFAULT_MAIN}",
        )
    return url.rstrip("/")


def public_url(url: str) -> str:
    """Return the address without user name and password, for messages."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
