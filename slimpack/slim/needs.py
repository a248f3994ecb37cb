"""Which package needs which, by what its files do: the evidence behind ``slimpack why``.

Three kinds: a program or library names another's in its DT_NEEDED; a source imports
another's module, at start or later; the metadata asks for it. Only the first two say
that anything would fail without it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from slimpack.elf.read import Elf
from slimpack.slim.modules import Module, imports_of, module_at
from slimpack.slim.predicates import Files, elf_of
from slimpack.tree import Kind

_LIMIT = 5  # files that are named for each pair of packages and kind


@dataclass(frozen=True)
class Need:
    """One package needs another.

    by, package: owners. kind: "library", "import" (when its importer is loaded), "lazy
    import" (in a function or a condition) or "metadata". files: some of those that do.
    what: the library or module.
    """

    by: str
    package: str
    kind: str
    what: str = ""
    files: tuple[str, ...] = ()


def library_needs(files: Files) -> Iterator[Need]:
    """Yield what DT_NEEDED says, between different packages."""
    elves: dict[str, Elf] = {
        path: elf for path, entry in files.entries.items() if (elf := elf_of(path, entry, files))
    }
    providers: dict[str, str] = {}
    for path in files.entries:
        name = posixpath.basename(path)
        if path in elves or files.entries[path].link:
            providers.setdefault(name, files.entries[path].owner)
    found: dict[tuple[str, str, str], list[str]] = {}
    for path, elf in elves.items():
        owner = files.entries[path].owner
        for name in elf.needed:
            provider = providers.get(name, "")
            if provider and provider != owner:
                found.setdefault((owner, provider, name), []).append(path)
    yield from _needs(found, "library")


def import_needs(files: Files) -> Iterator[Need]:
    """Yield what sources import of other packages."""
    owners = _module_owners(files)
    found: dict[str, dict[tuple[str, str, str], list[str]]] = {"import": {}, "lazy import": {}}
    for path, entry in files.entries.items():
        if entry.kind is not Kind.FILE or not path.endswith(".py"):
            continue
        module = module_at(path) or Module("", package=False)
        for item in imports_of(files.read(path), module):
            top = item.name.partition(".")[0]
            owner = _owner_of(item.name, owners)
            if owner and owner != entry.owner:
                kind = "import" if item.at_start else "lazy import"
                paths = found[kind].setdefault((entry.owner, owner, top), [])
                if not paths or paths[-1] != path:
                    paths.append(path)
    for kind, pairs in found.items():
        yield from _needs(pairs, kind)


def metadata_needs(graph: Mapping[str, Iterable[str]]) -> Iterator[Need]:
    """Yield what the packages' metadata says (`slimpack.env.graph`)."""
    for name in sorted(graph):
        for other in graph[name]:
            yield Need(name, other, "metadata")


def unneeded_packages(
    needs: Iterable[Need], packages: Iterable[str], wanted: Iterable[str]
) -> set[str]:
    """Return the packages that no wanted one needs by what its files do, directly or not.

    wanted: packages that are needed for themselves. A lazy import counts as a need: nobody
    knows whether it happens.
    """
    using: dict[str, set[str]] = {}
    for need in needs:
        if need.kind != "metadata":
            using.setdefault(need.by, set()).add(need.package)
    reached = set(wanted)
    waiting = list(reached)
    while waiting:
        more = using.get(waiting.pop(), set()) - reached
        reached |= more
        waiting += more
    return set(packages) - reached


def _needs(found: Mapping[tuple[str, str, str], list[str]], kind: str) -> Iterator[Need]:
    for (by, package, what), paths in sorted(found.items()):
        yield Need(by, package, kind, what, tuple(sorted(paths)[:_LIMIT]))


def _module_owners(files: Files) -> dict[str, str]:
    """Return dotted name -> package; of a namespace that several share, only what is below."""
    owners: dict[str, set[str]] = {}
    for path, entry in files.entries.items():
        if (module := module_at(path)) is None:
            continue
        name = module.name
        while name:
            owners.setdefault(name, set()).add(entry.owner)
            name = name.rpartition(".")[0]
    return {name: next(iter(found)) for name, found in owners.items() if len(found) == 1}


def _owner_of(name: str, owners: Mapping[str, str]) -> str:
    while name:
        if name in owners:
            return owners[name]
        name = name.rpartition(".")[0]
    return ""
