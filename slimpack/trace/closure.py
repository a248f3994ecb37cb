"""From what a workload touched to what has to stay for it to work safely.

A trace shows one run on one machine. The closure adds what another run may need:
files that belong to one another, what code in use names, and what depends on the
machine, the locale, the peer or an error. `slimpack.trace.reasons` lists the rules.

Which Python modules stay was decided by measuring. The demo service (scikit-learn,
FastAPI, uvicorn: 351 MB of environment, 283 MB without test suites and headers) touched
203 MB. Of the rest, in MB,

==========================================  =====  ================================
choice                                      added  what a late import does not find
==========================================  =====  ================================
all Python of packages in use                28.9  extension modules, other packages
that, and all their extension modules        50.8  other packages
all that modules in use import, transitively 20.8  names that are made at run time
==========================================  =====  ================================

The last is taken: imports inside of functions count, as do names with dots in strings
and in extension modules, and lists of names in packages that load modules by name
(torch._dynamo.polyfills); such strings and lists made the 20.8 MB some 38. 2,011 of the
modules that stay can be imported in the whole demo environment, and all of them in
what stays. docs/trace.md has more numbers.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from slimpack.elf.read import ElfError, read_elf, seekable_elf
from slimpack.globs import matcher
from slimpack.slim.bytecode import source_of
from slimpack.slim.modules import Module, module_at
from slimpack.trace import reasons
from slimpack.trace.distributions import Distribution, read_distributions
from slimpack.trace.imports import names_in_binary, names_in_source
from slimpack.trace.record import Trace
from slimpack.trace.walk import walk
from slimpack.tree import Entry, Kind, Tree, parents, under

_SHEBANG = re.compile(rb"#! *(/[^\s]+)(?: +([^\s]+))?")
_IN_PYTHON = re.compile(
    r"lib/python\d+\.\d+t?/(?:site-packages/|(?P<standard>))(?P<top>[^/]+)/", re.DOTALL
)
_MAX_SOURCE = 32 << 20
_Found = Iterator[tuple[str, str]]
"""Pairs of a path below the prefix and the reason why it stays."""


def closure(tree: Tree, prefix: str, trace: Trace) -> frozenset[str]:
    """Return the paths of `tree` that have to stay; see `keeps`."""
    return frozenset(keeps(tree, prefix, [trace]))


def keeps(
    tree: Tree, prefix: str, traces: Sequence[Trace], *, owners: Collection[str] = ()
) -> dict[str, str]:
    """Return path -> name of the rule (`reasons.REASONS`) for all that has to stay, sorted.

    tree: of the image before anything is dropped, links and bytecode included.
    prefix: of the environment, absolute. traces: what their paths do not find in `tree`
    says nothing. owners: whose files stay whatever they are (the application's).
    No link that stays dangles unless it did. Reads the sources and ELF headers of what
    stays, and writes nothing.
    """
    return _Closure(tree, prefix, owners).of(traces)


class _Closure:
    """Rules that are asked for each path that stays, until no new one comes."""

    def __init__(self, tree: Tree, prefix: str, owners: Collection[str]) -> None:
        self._tree = tree
        self._owners = owners
        self._root = under(prefix, "").rstrip("/")
        self._files = {
            self._below(entry.path): entry
            for entry in tree
            if self._inside(entry.path) and entry.kind is not Kind.DIRECTORY
        }
        self._links = {entry.path: entry.link for entry in tree if entry.link}
        self._kept: dict[str, str] = {}
        self._waiting: deque[tuple[str, str]] = deque()
        self._index()
        self._rules: tuple[Callable[[str, Entry, str], _Found], ...] = (
            self._pairs,
            self._imports,
            self._libraries,
            self._plugins,
            self._program,
            self._other_names,
            self._distribution,
            self._data,
        )

    def _index(self) -> None:
        """Note who is where: modules, libraries, names of links, packages, distributions."""
        self._modules: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._siblings: dict[tuple[str, str], list[str]] = {}
        self._in_folder: dict[str, list[str]] = {}
        self._data_of: dict[str, list[str]] = {}
        for path, entry in self._files.items():
            folder, name = posixpath.split(path)
            self._in_folder.setdefault(folder, []).append(path)
            if ".so" in name:
                self._by_name.setdefault(name, []).append(path)
            if reasons.is_part(name):
                self._siblings.setdefault((folder, reasons.family(name)), []).append(path)
            module = module_at(path)
            if module and not source_of(path):
                self._modules.setdefault(module.name, []).append(path)
            if reasons.is_data(path):
                self._data_of.setdefault(self._unit(path, entry), []).append(path)
        self._names: dict[str, list[str]] = {}
        for path in self._links:
            end = walk(self._links, path)[1]
            self._names.setdefault(end, []).append(path)
        self._dists: dict[str, list[Distribution]] = {}
        for dist in read_distributions(self._files):
            for path in (*dist.metadata, *dist.files):
                self._dists.setdefault(path, []).append(dist)
        self._used: set[str] = set()
        self._followed: set[str] = set()
        self._strength: dict[str, int] = {}

    def of(self, traces: Sequence[Trace]) -> dict[str, str]:
        for trace in traces:
            for path in trace.opened:
                self._keep(path, reasons.OPENED)
        for trace in traces:
            for path in trace.statted:
                self._keep(path, reasons.STATTED)
        always = matcher(reasons.ALWAYS_KEPT)
        for entry in self._tree:
            if not self._inside(entry.path) or entry.owner in self._owners:
                self._keep(entry.path, reasons.OUTSIDE)
            elif entry.kind is not Kind.DIRECTORY and always(self._below(entry.path)):
                self._keep(entry.path, reasons.ALWAYS)
        while self._waiting:
            path, reason = self._waiting.popleft()
            entry = self._tree[path]
            if entry.kind is Kind.DIRECTORY:
                continue
            if not self._inside(path):
                self._named_from_outside(entry)
                continue
            for rule in self._rules:
                for other, why in rule(self._below(path), entry, reason):
                    self._keep(under(self._root, other), why)
        return dict(sorted(self._kept.items()))

    def _keep(self, path: str, reason: str) -> None:
        """Keep a path, the links that it leads through, and the directories above.

        The first reason is told. A later one that says more of how the path is used, as an
        import does of a module that stays anyway, has the rules asked again.
        """
        strength = reasons.strength(reason)
        if self._strength.get(path, -1) >= strength or path not in self._tree:
            return
        passed, end = walk(self._links, path)
        for item in (path, *passed, end):
            if item in self._tree and self._strength.get(item, -1) < strength:
                self._strength[item] = strength
                self._kept.setdefault(item, reason)
                self._waiting.append((item, reason))
                for above in parents(item):
                    if above in self._tree:
                        self._kept.setdefault(above, reason)

    def _inside(self, path: str) -> bool:
        return not self._root or path.startswith(f"{self._root}/")

    def _below(self, path: str) -> str:
        return path[len(self._root) + 1 :] if self._root else path

    def _named_from_outside(self, entry: Entry) -> None:
        """Follow the imports of the application, all of which stays, and the modules it names."""
        if entry.path.endswith(".py"):
            for other, why in self._imported(entry, Module("", package=False), written=True):
                self._keep(under(self._root, other), why)

    def _pairs(self, path: str, entry: Entry, reason: str) -> _Found:
        source = source_of(path)
        if source in self._files:
            yield source, reasons.BYTECODE
        folder, name = posixpath.split(path)
        if name.endswith(".py"):
            for other in self._in_folder.get(posixpath.join(folder, "__pycache__"), ()):
                if source_of(other) == path:
                    yield other, reasons.BYTECODE

    def _imports(self, path: str, entry: Entry, reason: str) -> _Found:
        """Follow imports of modules that run, not of those kept for another reason."""
        if reason == reasons.ALWAYS:
            yield from self._compiled_part(path, entry)
        if reason not in reasons.RUNS:
            return
        if ".so" in path:
            yield from self._named_in_binary(path, entry)
            return
        path = source_of(path) or path
        source = self._files.get(path)
        if source is not None and path.endswith(".py") and path not in self._followed:
            self._followed.add(path)
            module = module_at(path) or Module("", package=False)
            yield from self._imported(source, module, written=reason == reasons.OUTSIDE)

    def _compiled_part(self, path: str, entry: Entry) -> _Found:
        """Keep the compiled half of a module of the standard library, as cProfile's _lsprof."""
        if path.endswith(".py") and entry.kind is Kind.FILE and entry.size <= _MAX_SOURCE:
            module = module_at(path) or Module("", package=False)
            for name in sorted(names_in_source(entry.read(), module, self._modules)):
                for other in self._modules.get(name, ()):
                    if "/lib-dynload/" in other:
                        yield other, reasons.ALWAYS

    def _imported(self, entry: Entry, module: Module, *, written: bool = False) -> _Found:
        if entry.kind is Kind.FILE and entry.size <= _MAX_SOURCE:
            names = names_in_source(entry.read(), module, self._modules, written=written)
            for name in sorted(names):
                yield from self._module(name, reasons.IMPORT)

    def _named_in_binary(self, path: str, entry: Entry) -> _Found:
        """Follow the imports that an extension module makes from C."""
        library = posixpath.basename(path).startswith("lib")  # torch/lib/libtorch_cpu.so
        if entry.kind is Kind.FILE and module_at(path) is not None and not library:
            for name in sorted(names_in_binary(entry.read())):
                yield from self._module(name, reasons.IMPORT)

    def _module(self, name: str, reason: str) -> _Found:
        """Yield what ``import a.b.c`` loads: a, a.b, a.b.c, as far as they are modules."""
        while name:
            for path in self._modules.get(name, ()):
                yield path, reason
            name = name.rpartition(".")[0]

    def _libraries(self, path: str, entry: Entry, reason: str) -> _Found:
        folder, name = posixpath.split(path)
        stem = reasons.family(name)
        if stem:
            for other in self._siblings.get((folder, stem), ()):
                yield other, reasons.FAMILY
        if entry.kind is not Kind.FILE or not (entry.mode & 0o111 or ".so" in name):
            return
        for needed in _needs(entry):
            # Every one of that name: which is taken depends on what was loaded before.
            for other in self._by_name.get(posixpath.basename(needed), ()):
                yield other, reasons.NEEDED

    def _plugins(self, path: str, entry: Entry, reason: str) -> _Found:
        folder, name = posixpath.split(path)
        if reason not in reasons.USE or ".so" not in name or "/python" in folder:
            return
        if reasons.PLUGIN_FOLDER.fullmatch(posixpath.basename(folder)):
            for other in self._in_folder[folder]:
                yield other, reasons.PLUGINS

    def _program(self, path: str, entry: Entry, reason: str) -> _Found:
        if entry.kind is not Kind.FILE or not entry.mode & 0o111 or ".so" in path:
            return
        with entry.open() as stream:
            match = _SHEBANG.match(stream.read(256))
        for word in match.groups() if match else ():
            name = (word or b"").decode("utf-8", "surrogateescape").strip("/")
            target = walk(self._links, name)
            for item in (*target[0], target[1]):
                if item in self._tree and self._inside(item):
                    yield self._below(item), reasons.SCRIPT

    def _other_names(self, path: str, entry: Entry, reason: str) -> _Found:
        for place in (entry.path, *parents(entry.path)):
            for link in self._names.get(place, ()):
                if self._inside(link):
                    yield self._below(link), reasons.NAMED

    def _distribution(self, path: str, entry: Entry, reason: str) -> _Found:
        """Keep a dist-info whole or not at all, and entry points of what is in use."""
        for dist in self._dists.get(path, ()):
            for other in dist.metadata:
                yield other, reasons.METADATA
            if reason in reasons.USE and not _in_metadata(path):
                for name in dist.modules:
                    yield from self._module(name, reasons.ENTRY)
                for name in dist.scripts:
                    if f"bin/{name}" in self._files:
                        yield f"bin/{name}", reasons.ENTRY

    def _data(self, path: str, entry: Entry, reason: str) -> _Found:
        if reason not in reasons.USE or _in_metadata(path):
            return
        unit = self._unit(path, entry)
        if unit and unit not in self._used:
            self._used.add(unit)
            for other in self._data_of.get(unit, ()):
                yield other, reasons.DATA

    @staticmethod
    def _unit(path: str, entry: Entry) -> str:
        """Return what a file is a part of: its conda package, else its top-level package.

        The interpreter's conda package is in use always; there it is the top-level package.
        """
        match = _IN_PYTHON.match(path)
        if match and (match["standard"] is not None or not entry.owner):
            return f"/{match['top']}"
        return entry.owner


def _needs(entry: Entry) -> tuple[str, ...]:
    with entry.open() as stream:
        elf = seekable_elf(stream)
        try:
            found = read_elf(elf, entry.size, entry.path) if elf else None
        except ElfError:
            return ()  # the loader refuses it as well
    return found.needed if found else ()


def _in_metadata(path: str) -> bool:
    return ".dist-info/" in path or path.startswith("conda-meta/")
