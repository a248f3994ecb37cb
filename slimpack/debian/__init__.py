"""A runtime base from Debian packages, without apt, root or a gpg program.

::

    InRelease (signed) -> Packages (by digest) -> .deb (by digest) -> Tree

`assemble_base` is the one way through; `resolve_base` stops after choosing.
"""

from slimpack.debian.base import DAY, assemble_base, provided, resolve_base, tree_digest
from slimpack.debian.mirrors import DebianMirrors, find_mirrors
from slimpack.debian.model import (
    DebianBase,
    DebianSource,
    ReleaseInfo,
    Resolution,
    ResolvedPackage,
)

__all__ = [
    "DAY",
    "DebianBase",
    "DebianMirrors",
    "DebianSource",
    "ReleaseInfo",
    "Resolution",
    "ResolvedPackage",
    "assemble_base",
    "find_mirrors",
    "provided",
    "resolve_base",
    "tree_digest",
]
