"""Where symbolic links of an archive lead, found without a file system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from slimpack.errors import InputError
from slimpack.oci.tar import with_parents
from slimpack.tree import Entry, Kind, Tree

_MAX_HOPS = 40  # Linux follows no more (path_resolution(7))
_MAX_COPIES = 2_000_000


class LinkError(ValueError):
    """A link leaves the root, or leads in a circle."""


class Links:
    """Symbolic links by their path, each with its target as stored.

    A link is walked once, however many paths lead through it: else a small archive
    of long targets could keep us busy for hours.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self._walked: dict[str, tuple[str, int]] = {}

    def follow(self, path: str) -> str:
        """Return the place that `path` leads to, as a kernel would walk; "" is the root.

        path: relative and normal. What does not exist is walked through by its name
        alone. Raises LinkError for an absolute target, for one above the root on any
        step of the way, and for more than 40 links on it.
        """
        return self._walk([], path, 0)[0]

    def _walk(self, behind: list[str], ahead: str, depth: int) -> tuple[str, int]:
        """Return where `ahead` leads from the folder `behind`, and through how many links."""
        hops = 0
        for part in ahead.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                if not behind:
                    raise LinkError("it leads out of the archive")
                behind.pop()
                continue
            behind.append(part)
            place, more = self._through("/".join(behind), depth)
            if more:
                behind = place.split("/") if place else []
                hops += more
        if hops + depth > _MAX_HOPS:
            raise LinkError("it leads in a circle")
        return "/".join(behind), hops

    def _through(self, path: str, depth: int) -> tuple[str, int]:
        target = self._targets.get(path)
        if target is None:
            return path, 0
        if target.startswith("/"):
            raise LinkError("it leads to an absolute path")
        if path not in self._walked:
            if depth >= _MAX_HOPS:
                raise LinkError("it leads in a circle")
            place, hops = self._walk(path.split("/")[:-1], target, depth + 1)
            self._walked[path] = place, hops + 1
        return self._walked[path]


def without_links(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield `entries` with what links lead to in place of the links, as conda-pack's zip does.

    entries: sorted, parents included. A link to a folder becomes a copy of the
    folder. Links that lead to nothing in the archive, and links to a folder that they
    lie in, have no copy and stay links. Raises InputError when copies make more than
    two million members.
    """
    return (entry for entry, _ in _Copier(entries).all())


def with_copies(tree: Tree) -> tuple[Tree, dict[str, str]]:
    """Return `tree` as `without_links` makes it, and which file each copy is of, by path.

    Whoever notes which files hold a prefix has to note the copies too.
    """
    made = list(_Copier(with_parents(tree)).all())
    origins = {
        entry.path: origin
        for entry, origin in made
        if entry.kind is Kind.FILE and entry.path != origin
    }
    return Tree(entry for entry, _ in made), origins


_Waiting = tuple[str, str, tuple[str, ...]]  # what, where to, and the links on the way there


class _Copier:
    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.path: entry for entry in entries}
        self._links = Links(
            {entry.path: entry.link for entry in self._entries.values() if entry.link}
        )
        self._inside: dict[str, list[str]] = defaultdict(list)
        for path in self._entries:
            self._inside[path.rpartition("/")[0]].append(path)

    def all(self) -> Iterator[tuple[Entry, str]]:
        """Yield each member and the path of the entry that it is, or is a copy of."""
        made, waiting = 0, self._below("", "", ())
        while waiting:
            path, at, through = waiting.pop()
            entry = self._entries[path]
            target = self._target(path) if entry.kind is Kind.SYMLINK else None
            if target is not None and path not in through:
                waiting.append((target, at, (*through, path)))
                continue
            made += 1
            if made > _MAX_COPIES:
                raise InputError(
                    f"copies in place of links make more than {_MAX_COPIES} files ({at})",
                    hint="keep links as links in the zip, or write a tar archive",
                )
            yield (entry if at == path else replace(entry, path=at)), path
            waiting += self._below(path, at, through)

    def _below(self, path: str, at: str, through: tuple[str, ...]) -> list[_Waiting]:
        """Return what is in the folder `path` and where it is to be, last first."""
        return [
            (inner, at + inner[len(path) :], through) for inner in self._inside.get(path, ())[::-1]
        ]

    def _target(self, path: str) -> str | None:
        """Return the file or folder that the link at `path` leads to, if it can be copied."""
        try:
            place = self._links.follow(path)
        except LinkError:
            return None
        if place not in self._entries or f"{path}/".startswith(f"{place}/"):
            return None
        return place
