"""What a base is made of, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from slimpack.errors import InputError
from slimpack.tree import Tree

# Debian's name for the processor of an OCI platform.
ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {"linux/amd64": "amd64", "linux/arm64": "arm64"}
)

SECURITY_SUFFIX = "-security"


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """One exact ``.deb``.

    filename: path below the archive, as the Packages index has it.
    architecture: the package's own, "all" included.
    archive: "main" or "security", the archive that holds it.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    filename: str
    size: int
    archive: str = "main"


@dataclass(frozen=True, slots=True)
class DebianSource:
    """The ``[debian]`` table of a runtime: which packages, and what of them.

    suites: asked in this order; the newest version of a package wins. A name
        that ends in ``-security`` is looked up in the security archive.
    exclude: path patterns of what stays out (see `slimpack.globs`).
    only: package -> patterns; of such a package nothing else is taken.
    pins: platform -> exact packages; with pins for a platform no index is asked.
    """

    suites: tuple[str, ...]
    components: tuple[str, ...]
    packages: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pins: Mapping[str, tuple[ResolvedPackage, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """A signed Release that a base was resolved from.

    It changes when anything in the suite does, so it belongs in logs, not in
    an image whose packages stayed the same.
    """

    suite: str
    date: datetime
    sha256: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """The packages of a base, chosen but not fetched."""

    platform: str
    packages: tuple[ResolvedPackage, ...]
    releases: tuple[ReleaseInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class DebianBase:
    """An assembled base.

    glibc: upstream version of the C library, for the solver's ``__glibc``.
    provides: the runtime's ``provides``, with ``debian:<package>`` replaced by
        that package's upstream version.
    """

    tree: Tree
    packages: tuple[ResolvedPackage, ...]
    glibc: str
    platform: str
    provides: Mapping[str, str]
    releases: tuple[ReleaseInfo, ...] = ()


def architecture_of(platform: str) -> str:
    """Return Debian's architecture for an OCI platform (``linux/amd64`` -> ``amd64``)."""
    try:
        return ARCHITECTURES[platform]
    except KeyError:
        raise InputError(
            f"no runtime base for platform {platform!r}",
            hint=f"use one of {', '.join(sorted(ARCHITECTURES))}",
        ) from None
