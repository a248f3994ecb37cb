"""One owner for CUDA's libraries that come twice: links take the place of the older copy.

The copy that stays is the newest, and is found where each of the others was: under its path,
and with every library of the family beside it, since the loader looks from where a library was
found ($ORIGIN is the folder of the link). Whether all of them then find what they need is
tried with the loader's own rules before anything changes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from slimpack.cuda.families import family_of
from slimpack.elf.read import Elf
from slimpack.elf.resolve import Module, Resolver
from slimpack.slim.cuda_copies import Copies, Copy, copies_of
from slimpack.slim.predicates import Files, elf_of
from slimpack.slim.ruleset import Rules
from slimpack.slim.shrink import active
from slimpack.slim.slimming import Change, Scope, without
from slimpack.tree import Entry, Kind, Tree, linked, symlink_entry, under

ACTION = "one-owner"
_PYTHON = re.compile(r"bin/python3\.\d+\Z")
_MAX_LINKS = 40


@dataclass(frozen=True)
class Owned:
    """A tree in which CUDA's libraries have one owner, as far as that can be.

    notes: families that come twice, and what was done about it.
    """

    tree: Tree
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


def one_owner(tree: Tree, rules: Rules, scope: Scope) -> Owned:
    """Return the tree with links in the place of copies, where a rule with that action says so."""
    wanted = active(rules, ACTION, scope)
    files = Files(scope.files(tree), scope.on_disk, scope.prefix)
    changes: list[Change] = []
    notes = []
    for copies in copies_of(files):
        rule = next(
            (
                rule.name
                for rule, means in wanted
                if all(means(path, files.entries[path]) for path in _replaced(copies))
            ),
            "",
        )
        links = _links(copies, files.entries, scope.prefix)
        why_not = copies.why_not or ("" if rule else "no rule of this profile makes them one")
        if not why_not:
            why_not = _lost(copies, files, links, scope.prefix)
        if why_not:
            notes.append(f"comes more than once: {copies.told()}; left so: {why_not}")
            continue
        gone = {path for path in _replaced(copies) if path not in links}
        changes += [
            Change(path, entry.owner, rule, entry.size, removed=path in gone)
            for path in _replaced(copies)
            if (entry := files.entries[path])
        ]
        tree = without(tree, gone, scope.prefix).merge(links.values())
        files = replace(files, entries=scope.files(tree))
        notes.append(f"came more than once: {copies.told()}; the first serves all now")
    return Owned(tree, tuple(changes), tuple(f"CUDA: {note}" for note in notes))


def _replaced(copies: Copies) -> list[str]:
    return [path for copy in copies.others for path in copy.files.values()]


def _links(copies: Copies, entries: Mapping[str, Entry], prefix: str) -> dict[str, Entry]:
    """Return path below the prefix -> the link that stands there, for all copies but the best."""
    found: dict[str, Entry] = {}
    for copy in copies.others:
        for soname, target in copies.best.files.items():
            for path in _names(copy, soname, entries):
                link = posixpath.relpath(target, posixpath.dirname(path))
                owner = entries[path].owner if path in entries else copy.owner
                found[path] = symlink_entry(under(prefix, path), link, owner=owner)
    return found


def _names(copy: Copy, soname: str, entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield the paths under which a library of the best copy must be found in this one's place."""
    if soname in copy.files:
        yield copy.files[soname]
        return
    for folder in (copy.folder, *_folders_of_links(copy, entries)):
        if (path := f"{folder}/{soname}") not in entries:
            yield path


def _folders_of_links(copy: Copy, entries: Mapping[str, Entry]) -> list[str]:
    """Return the folders from which links lead to files of the copy (conda's ``lib``)."""
    targets = set(copy.files.values())
    found = {
        posixpath.dirname(path)
        for path, entry in entries.items()
        if entry.kind is Kind.SYMLINK and _led(entries, path) in targets
    }
    return sorted(found - {copy.folder})


def _led(entries: Mapping[str, Entry], path: str) -> str:
    """Return the path that links of files lead to, below the prefix; "" for none."""
    for _ in range(_MAX_LINKS):
        entry = entries.get(path)
        if entry is None:
            return ""
        if entry.kind is not Kind.SYMLINK:
            return path
        path = linked(path, entry.link)
    return ""


def _lost(copies: Copies, files: Files, links: Mapping[str, Entry], prefix: str) -> str:
    """Return what the loader would not find any more for a library of the family, "" if all."""
    gone = set(_replaced(copies)) - set(links)
    after = replace(files, entries={**files.without(gone).entries, **links})
    seen, sees = _Eyes(files, prefix), _Eyes(after, prefix)
    folders = {posixpath.dirname(path) for path in links}
    folders |= {
        folder for copy in copies.others for folder in _folders_of_links(copy, files.entries)
    }
    for folder in sorted(folders):
        for soname in copies.best.files:
            missing = sees.missing(f"{folder}/{soname}") - seen.missing(f"{folder}/{soname}")
            if missing:
                return f"/{under(prefix, folder)}/{soname} would not find {min(missing)}"
    return ""


class _Eyes:
    """Sees an environment as its Python's loader does, which opens all libraries of CUDA."""

    def __init__(self, files: Files, prefix: str) -> None:
        self._files = files
        self._inside = f"/{under(prefix, '')}"
        self.elf_at = lru_cache(maxsize=None)(self._elf_at)
        self._resolver = Resolver(self.elf_at, ())
        program = next((path for path in files.entries if _PYTHON.match(path)), "")
        elf = self.elf_at(f"{self._inside}{program}") if program else None
        self._above = (Module(f"{self._inside}{program}", elf),) if elf else ()

    def missing(self, path: str) -> set[str]:
        """Return the libraries of CUDA that the one found at `path` needs in vain."""
        elf = self.elf_at(f"{self._inside}{path}")
        if elf is None:
            return set()
        needs = self._resolver.resolve(f"{self._inside}{path}", elf, self._above)
        return {need.name for need in needs if need.path is None and family_of(need.name)}

    def _elf_at(self, path: str) -> Elf | None:
        if not path.startswith(self._inside):
            return None
        found = _led(self._files.entries, path[len(self._inside) :])
        return elf_of(found, self._files.entries[found], self._files) if found else None
