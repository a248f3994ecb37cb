"""A runtime base from Debian packages, without apt, root or a gpg program.

::

    InRelease (signed) -> Packages (by digest) -> .deb (by digest) -> Tree

`assemble_base` is the one way through; `resolve_base` stops after choosing. Names are
imported when they are asked for: what only needs to know the data does not wait for the
libraries that fetch and verify.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
_HOMES = {
    **dict.fromkeys(("DAY", "assemble_base", "provided", "resolve_base", "tree_digest"), "base"),
    **dict.fromkeys(("DebianMirrors", "find_mirrors"), "mirrors"),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"slimpack.debian.{_HOMES.get(name, 'model')}"), name)
