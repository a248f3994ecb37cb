"""What the loading of modules depended on, and which modules other files can be seen by.

Nodes are names of top-level modules; "" is nobody in particular, on whom all depend. The rows
come from `slimpack.verify.import_recorder`, which says what they mean.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

KINDS = ("edge", "search", "file", "stat", "exists", "list", "ran", "start", "blind")
_OF_PATHS = ("file", "stat", "exists", "list")
_ALL = ""


@dataclass
class Dependence:
    """The rows of one process, or of several.

    seen: kind -> node -> what; searches as folder, NUL and name. complete: nothing was lost.
    """

    seen: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    complete: bool = True

    def add(self, kind: str, node: str, whats: Iterable[str]) -> None:
        """Note that `node` did something with `whats`."""
        self.seen.setdefault(kind, {}).setdefault(node, set()).update(whats)

    def of(self, kind: str) -> Mapping[str, Set[str]]:
        """Return node -> what, of one kind."""
        return self.seen.get(kind, {})

    def merged(self, other: Dependence) -> Dependence:
        """Return what either has."""
        both = Dependence(complete=self.complete and other.complete)
        for one in (self, other):
            for kind, nodes in one.seen.items():
                for node, whats in nodes.items():
                    both.add(kind, node, whats)
        return both

    def placed(self, place: Callable[[str], str | None]) -> Dependence:
        """Return the same with other paths: `place` takes an absolute one, and is asked once.

        What is about a path for which it returns None is left out, but for what was loaded at
        the start.
        """
        known: dict[str, str | None] = {}

        def placed(path: str) -> str | None:
            if path not in known:
                known[path] = place(path)
            return known[path]

        found = Dependence(complete=self.complete)
        for kind, nodes in self.seen.items():
            for node, whats in nodes.items():
                if kind == "start":
                    found.add(kind, node, (placed(path) or path for path in whats))
                elif kind in _OF_PATHS:
                    paths = map(placed, whats)
                    found.add(kind, node, (path for path in paths if path is not None))
                elif kind == "search":
                    pairs = ((placed(folder), name) for folder, name in map(_pair, whats))
                    found.add(kind, node, (f"{one}\0{name}" for one, name in pairs if one))
                else:
                    found.add(kind, node, whats)
        return found

    def to_json(self) -> dict[str, dict[str, list[str]]]:
        """Return it as plain data."""
        return {
            kind: {node: sorted(whats) for node, whats in nodes.items()}
            for kind, nodes in self.seen.items()
        }


def from_json(value: Any) -> Dependence:
    """Return what `to_json` made plain; TypeError or AttributeError for anything else."""
    found = Dependence()
    for kind, nodes in value.items():
        for node, whats in nodes.items():
            if kind not in KINDS or not set(map(type, whats)) <= {str}:
                raise TypeError("not what modules depend on")
            found.add(kind, node, whats)
    return found


class Rows:
    """Takes the lines of one process. `end` says whether all have come."""

    def __init__(self, into: Dependence) -> None:
        self._into = into
        self._folders: dict[str, list[str]] = {}
        self._lines = 0

    def take(self, rows: Any) -> None:
        """Take one line; ValueError, TypeError or KeyError for what is none."""
        self._lines += 1
        for kind, name, whats in rows:
            if kind == "path":
                self._folders[name] = [str(folder) for folder in whats]
            elif kind == "search":
                for what in whats:
                    number, _, wanted = what.partition(":")
                    pairs = (f"{folder}\0{wanted}" for folder in self._folders[number])
                    self._into.add(kind, name, pairs)
            elif kind in KINDS:
                self._into.add(kind, name, map(str, whats))

    def end(self, lines: object) -> None:
        """Compare the number of lines with what the process says."""
        if lines != self._lines:
            self._into.complete = False


@dataclass(frozen=True)
class Change:
    """Files that are others than those that were recorded, as paths of the tree.

    changed: all of them. moved: paths of files and folders that came or went.
    """

    changed: Set[str]
    moved: Set[str]

    @property
    def entered(self) -> dict[str, set[str]]:
        """Folder -> names that came or went in it."""
        return _by_folder(self.moved)

    @property
    def touched(self) -> dict[str, set[str]]:
        """Folder -> names in it that came, went, or have other content."""
        return _by_folder(self.moved | self.changed)


def concerned(dependence: Dependence, change: Change, tops: Set[str]) -> Set[str] | None:
    """Return the nodes that can see a change; None when that may be any.

    tops: top-level modules that the changed files are of.
    """
    direct = set(_direct(dependence, change, tops))
    above: dict[str, set[str]] = {}
    for node, names in dependence.of("edge").items():
        for name in names:
            above.setdefault(name, set()).add(node)
    for names in dependence.of("blind").values():
        for name in names:
            above.setdefault(name, set()).add(_ALL)
    found: set[str] = set()
    waiting = list(direct)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += above.get(node, ())
    return None if _ALL in found else found


def reached(dependence: Dependence, tops: Iterable[str]) -> set[str]:
    """Return top-level modules with all on which they depend."""
    edges, found, waiting = dependence.of("edge"), set[str](), [_ALL, *tops]
    for names in dependence.of("blind").values():
        waiting += names
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += edges.get(node, ())
    return found


def places(dependence: Dependence, nodes: Set[str]) -> Iterator[str]:
    """Yield the paths that modules asked for; of searches without the endings of files."""
    for kind in ("file", "stat", "exists", "start", "search"):
        for node, whats in dependence.of(kind).items():
            if node in nodes:
                for what in whats:
                    yield what.replace("\0", "/")


def misses(dependence: Dependence, absent: Set[str]) -> bool:
    """Tell whether any module asked for a file that is not there although it should be.

    absent: paths of such files, and of folders that are not there either.
    """
    folders, stems, inside = set(), set(), set()
    for path in absent:
        folder, name = posixpath.split(path)
        stems.add(f"{folder}\0{name.partition('.')[0]}")
        folders.add(folder)
        while folder and folder not in inside:
            inside.add(folder)
            folder = posixpath.dirname(folder)
    return (
        any(
            not absent.isdisjoint(paths)
            for kind in _OF_PATHS
            for paths in dependence.of(kind).values()
        )
        or any(not folders.isdisjoint(paths) for paths in dependence.of("list").values())
        or any(
            search in stems or search.replace("\0", "/") in inside
            for searches in dependence.of("search").values()
            for search in searches
        )
    )


def _direct(dependence: Dependence, change: Change, tops: Set[str]) -> Iterator[str]:
    """Yield the nodes that saw one of the paths themselves."""
    everything = change.changed | change.moved
    entered, touched = change.entered, change.touched
    yield from tops
    yield from dependence.of("ran")
    for node, paths in dependence.of("file").items():
        if not everything.isdisjoint(paths):
            yield node
    for node, paths in dependence.of("stat").items():
        if any(path in everything or path in entered for path in paths):
            yield node
    # A file may have become a folder, whose own path does not come or go.
    others = change.moved | (change.changed & entered.keys())
    for node, paths in dependence.of("exists").items():
        if not others.isdisjoint(paths):
            yield node
    for node, paths in dependence.of("list").items():
        if any(path in touched for path in paths):
            yield node
    stems = {
        f"{folder}\0{name.partition('.')[0]}" for folder, names in entered.items() for name in names
    }
    for node, searches in dependence.of("search").items():
        if not stems.isdisjoint(searches):
            yield node
    if dependence.of("start") and any("/site-packages/" in f"/{path}" for path in change.moved):
        yield _ALL  # what was loaded at the start looked for modules, and nobody knows which
    for paths in dependence.of("start").values():
        if not everything.isdisjoint(paths):
            yield _ALL


def _pair(search: str) -> tuple[str, str]:
    folder, _, name = search.partition("\0")
    return folder, name


def _by_folder(paths: Set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        folder, name = posixpath.split(path)
        found.setdefault(folder, set()).add(name)
    return found
