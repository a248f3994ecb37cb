"""Where a path of a subject leads, all links followed, without touching the disk."""

from __future__ import annotations

import posixpath

from slimpack.tree import Entry, Kind, Tree, parents

_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS


class Lookup:
    """Paths of `tree`, whose root is at the absolute path `place` when its programs run."""

    def __init__(self, tree: Tree, place: str = "/") -> None:
        self._tree = tree
        self._place = [part for part in place.split("/") if part]
        self._folders = {""}
        for entry in tree:  # archives need not list the folders above
            above = entry.path.rpartition("/")[0]
            if above not in self._folders:
                self._folders.update((*parents(above), above))

    def is_outside(self, path: str) -> bool:
        """Tell whether an absolute path leads to a place that is not in the tree at all."""
        return path.startswith("/") and self._inner(path) is None

    def resolve(self, path: str, folder: str = "") -> str | None:
        """Return the path in the tree, without links, of a file or folder; None without one.

        path: absolute, or relative to `folder`, a path in the tree. What lies outside
        of the tree and links in a circle are None, too.
        """
        ahead = self._parts(path)
        if ahead is None:
            return None
        behind = [] if path.startswith("/") else [part for part in folder.split("/") if part]
        ahead.reverse()
        hops = 0
        while ahead:
            part = ahead.pop()
            if part == ".":
                continue
            if part == "..":
                if not behind and self._place:
                    return None
                del behind[-1:]  # above the root is the root
                continue
            here = "/".join((*behind, part))
            entry = self._tree.get(here)
            if entry is None and here not in self._folders:
                return None
            if entry is None or entry.kind is not Kind.SYMLINK:
                if ahead and here not in self._folders and not _is_folder(entry):
                    return None
                behind.append(part)
                continue
            hops += 1
            target = self._parts(entry.link)
            if hops > _MAX_LINKS or target is None:
                return None
            if entry.link.startswith("/"):
                behind = []
            ahead += target[::-1]
        return "/".join(behind)

    def find(self, path: str, folder: str = "") -> Entry | None:
        """Return the entry that a path leads to; None for none, and for a folder not listed."""
        found = self.resolve(path, folder)
        return None if found is None else self._tree.get(found)

    def _parts(self, path: str) -> list[str] | None:
        inner = self._inner(path) if path.startswith("/") else path
        return None if inner is None else [part for part in inner.split("/") if part]

    def _inner(self, path: str) -> str | None:
        """Return an absolute path relative to the tree's root, None outside."""
        if not self._place:
            return path.strip("/")
        parts = [part for part in posixpath.normpath(path).split("/") if part]
        if parts[: len(self._place)] != self._place:
            return None
        return "/".join(parts[len(self._place) :])


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind is Kind.DIRECTORY
