"""Where symbolic links of an environment lead: inside, by whatever text, or out of it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from slimpack.tree import linked


def inside(path: str, target: str, homes: Iterable[str]) -> str | None:
    """Return where a link leads, as a normal path below the prefix ("." for itself).

    path: of the link, below the prefix. target: its text. homes: absolute paths
    that all mean the prefix (where it lies, where its files say that it lies).
    None when the link leads out of the environment.
    """
    if not target.startswith("/"):
        below = linked(path, target)
        if not _climbs(below):
            return below
    for home in homes:
        full = posixpath.normpath(posixpath.join(home, posixpath.dirname(path), target))
        below = posixpath.relpath(full, home)
        if not _climbs(below):
            return below
    return None


def moved(path: str, target: str, homes: Iterable[str], dest_prefix: str | None) -> str:
    """Return the text of a link in an environment that lies at `dest_prefix`, None for anywhere.

    Links that do not leave the prefix on their way stay as they are, and so do
    those that lead out of it.
    """
    absolute = target.startswith("/")
    plain = linked(path, target)
    below = None if not absolute and not _climbs(plain) else inside(path, target, homes)
    if below is None:
        return target
    if absolute and dest_prefix is not None:
        return posixpath.normpath(posixpath.join(dest_prefix, below))
    return posixpath.relpath(below, posixpath.dirname(path) or ".")


def _climbs(path: str) -> bool:
    return path == ".." or path.startswith("../")
