"""What the `when` of a rule asks before it takes a file: whether what stays uses it.

Each predicate gets the candidates of one rule and the files that stay, and returns
the candidates that may go. They look into files, so they are asked last, once a rule.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from slimpack.elf.read import Elf, ElfError, read_elf, seekable_elf
from slimpack.globs import matcher
from slimpack.slim.modules import Module, imports_of, module_at, statements
from slimpack.slim.ruleset import Rule
from slimpack.tree import Entry, Kind, may_be_elf, parents

_SOURCES = (".py",)
_LIBRARY = re.compile(r"[^/]+?\.so(?![^/]*/)")
# They list files (NVIDIA's licences do, too), and open none.
_LISTS = matcher(("conda-meta", "**/*.dist-info", "**/*.egg-info", "**/*.pc"))
_PIECE = 4 << 20
_STEM = 8  # bytes; modular_llama and modular_mistral have one
_TZPATH = re.compile(rb"""['"]TZPATH['"]: *['"]([^'"]*)""")
_SYSCONFIG = re.compile(r"lib/python[^/]+/_sysconfigdata_[^/]*\.py\Z")


@dataclass(frozen=True)
class Files:
    """The files of an environment by their path below its prefix.

    on_disk: gives the file that holds an entry's bytes unchanged, None when there is none.
    prefix: where the environment lies, without slashes around it.
    imports: name of a rule -> source -> the candidates' modules that it imports; sources
        that import none are left out (`slimpack.slim.questions`).
    spelled: name of a library, whole or bare -> the files in which it stands (`looked_into`).
    """

    entries: Mapping[str, Entry]
    on_disk: Callable[[Entry], Path | None]
    prefix: str
    imports: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    spelled: Mapping[bytes, frozenset[str]] = field(default_factory=dict)

    def without(self, paths: Iterable[str]) -> Files:
        """Return the files but those."""
        gone = set(paths)
        left = {path: entry for path, entry in self.entries.items() if path not in gone}
        return replace(self, entries=left)

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        with self.open(self.entries[path]) as stream:
            return stream.read()

    def open(self, entry: Entry) -> BinaryIO:
        """Open an entry's content, on disk where that is the same."""
        path = self.on_disk(entry)
        return entry.open() if path is None else path.open("rb")


def unneeded(rule: Rule, candidates: Sequence[str], stays: Files) -> set[str]:
    """Return the libraries that nothing which stays names in its DT_NEEDED.

    A library that stays keeps what it needs in turn, and a link where it leads to. What
    is only opened by name at run time is not seen: such libraries are no candidates.
    """
    may_go = set(candidates)
    waiting = [path for path in stays.entries if path not in may_go]
    while waiting:
        needed: set[str] = set()
        for path in waiting:
            entry = stays.entries[path]
            elf = elf_of(path, entry, stays)
            needed.update(elf.needed if elf else ())
            if entry.link:
                needed.add(posixpath.basename(entry.link))
        waiting = [path for path in may_go if posixpath.basename(path) in needed]
        may_go.difference_update(waiting)
    return may_go


def unmentioned(rule: Rule, candidates: Sequence[str], stays: Files) -> set[str]:
    """Return the libraries whose name, up to ".so", stands in no file that stays.

    So neither does an ELF file need them nor has any program or source their name to open
    them by. Lists of files, and what ``rule.ignore`` names, do not count. All files of one
    library (links, versions) go or stay together; one that stays keeps what it mentions.
    """
    return _unspelled(rule, candidates, stays, quoted=False)


def unopened(rule: Rule, candidates: Sequence[str], stays: Files) -> set[str]:
    """Return what `unmentioned` does, but for libraries that a source names without "lib".

    ``load("cublas")`` opens libcublas.so: of a source, also the bare name in quotes counts.
    """
    return _unspelled(rule, candidates, stays, quoted=True)


def _unspelled(rule: Rule, candidates: Sequence[str], stays: Files, *, quoted: bool) -> set[str]:
    names = _libraries(candidates)
    may_go = {path for paths in names.values() for path in paths}
    ignored = matcher(rule.ignore)
    waiting = {path for path in stays.entries if path not in may_go and not ignored(path)}
    while waiting and names:
        there = [
            name
            for name in names
            if any(
                not waiting.isdisjoint(stays.spelled[text])
                for text in ((name, _bare(name)) if quoted else (name,))
            )
        ]
        waiting = {path for name in there for path in names.pop(name)}
        may_go -= waiting
    return may_go


def _libraries(paths: Iterable[str]) -> dict[bytes, set[str]]:
    """Return the names of libraries, up to ".so", with the paths of each."""
    names: dict[bytes, set[str]] = {}
    for path in paths:
        found = _LIBRARY.search(path)
        if found:
            names.setdefault(os.fsencode(found[0]), set()).add(path)
    return names


def _bare(name: bytes) -> bytes:
    """Return how a source may write a library's name: ``"cublas"`` for libcublas.so."""
    return b'"' + name.removeprefix(b"lib").removesuffix(b".so") + b'"'


@dataclass(frozen=True)
class Texts:
    """Names of libraries that predicates look for: what stands in a file -> its key.

    whole: up to ".so", anywhere. bare: without "lib", in either quotes, in sources only.
    """

    whole: Mapping[bytes, bytes]
    bare: Mapping[bytes, bytes]


def texts_of(asked: Iterable[tuple[Rule, Collection[str]]]) -> Texts:
    """Return what `looked_into` must look for on behalf of rules and their candidates."""
    whole: dict[bytes, bytes] = {}
    bare: dict[bytes, bytes] = {}
    for rule, candidates in asked:
        if PREDICATES[rule.when] in (unmentioned, unopened):
            names = _libraries(candidates)
            whole |= {name: name for name in names}
            if PREDICATES[rule.when] is unopened:
                keys = [_bare(name) for name in names]
                bare |= {text: key for key in keys for text in (key, key.replace(b'"', b"'"))}
    return Texts(whole, bare)


@dataclass(frozen=True)
class Looked:
    """What stands in files. spelled: see `Files`. statements: source -> its imports, as text."""

    spelled: Mapping[bytes, frozenset[str]]
    statements: Mapping[str, bytes]


def looked_into(files: Files, texts: Texts) -> Looked:
    """Return what stands in `files`; each is read once. Lists of files spell nothing.

    One expression for all names is many times quicker than each alone.
    """
    whole = texts.whole
    found: dict[bytes, set[str]] = {key: set() for key in (*whole, *texts.bare.values())}
    in_source, elsewhere = _Search({**whole, **texts.bare}), _Search(whole)
    said: dict[str, bytes] = {}
    for path, entry in files.entries.items():
        counts = bool(found) and not _LISTS(path)
        told: Collection[bytes] = ()
        if entry.kind is Kind.FILE and path.endswith(_SOURCES):
            source = files.read(path)
            said[path] = statements(source)
            told = in_source.keys(io.BytesIO(source)) if counts else ()
        elif counts and entry.kind is Kind.FILE:
            with files.open(entry) as stream:
                told = elsewhere.keys(stream)
        elif counts:
            link = os.fsencode(posixpath.basename(entry.link))
            told = {name for name in whole if name in link}
        for key in told:
            found[key].add(path)
    return Looked({key: frozenset(paths) for key, paths in found.items()}, said)


class _Search:
    """Finds texts in streams, whatever their size. texts: what is looked for -> its key."""

    def __init__(self, texts: Mapping[bytes, bytes]) -> None:
        self._texts = texts
        self._expression = re.compile(b"|".join(map(re.escape, sorted(texts))))
        self._overlap = max(map(len, texts), default=0)
        self._wanted = len(set(texts.values()))

    def keys(self, stream: BinaryIO) -> set[bytes]:
        """Return the keys of the texts that stand in a stream."""
        found: set[bytes] = set()
        before = b""
        while len(found) < self._wanted and (piece := stream.read(_PIECE)):
            text = before + piece
            at = 0
            # Texts can overlap: one may be the end of another.
            while match := self._expression.search(text, at):
                found.add(self._texts[match[0]])
                at = match.start() + 1
            before = text[-self._overlap :]
        return found


def elf_of(path: str, entry: Entry, files: Files) -> Elf | None:
    """Return what the loader sees in a file, None for one that is no (sound) ELF file."""
    if entry.kind is not Kind.FILE or not may_be_elf(path, entry.mode):
        return None
    with files.open(entry) as stream:
        elf = seekable_elf(stream)
        try:
            return read_elf(elf, entry.size, path) if elf else None
        except ElfError:
            return None


def unimported(rule: Rule, candidates: Sequence[str], stays: Files) -> set[str]:
    """Return the candidates that no source among the files that stay imports.

    A rule for named packages takes each of them as a whole or not at all; any other
    leaves the modules that are imported, with all that these import in turn. Imports in
    the sources that ``rule.ignore`` names do not count, and with `unimported-at-start`
    neither do those inside of functions and conditions.
    """
    modules = {path: module for path in candidates if (module := module_at(path))}
    wanted = _imported(rule, modules, stays)
    if not rule.packages:
        spared = {path for path, module in modules.items() if module.name in wanted}
        return set(candidates) - spared
    tops = {module.top for module in modules.values() if module.name in wanted}
    owners = {stays.entries[path].owner for path, module in modules.items() if module.top in tops}
    return {path for path in candidates if stays.entries[path].owner not in owners}


def _imported(rule: Rule, modules: Mapping[str, Module], files: Files) -> set[str]:
    """Return the names of `modules`, and of the packages above them, that are imported."""
    paths = {module.name: path for path, module in modules.items() if path.endswith(_SOURCES)}
    names = {module.name for module in modules.values()}
    found: set[str] = set()
    for path, imported in files.imports[rule.name].items():
        if path in files.entries:
            found |= imported & names
    waiting = sorted(found)
    while waiting:
        path = paths.get(waiting.pop(), "")
        if path:
            more = imported_names(files.read(path), path, names, at_start=False) - found
            found |= more
            waiting += sorted(more)
    return found


def words_of(candidates: Collection[str], files: Files) -> set[bytes]:
    """Return the words by which `mentions_of` finds all who may import one of those paths.

    Whoever imports a candidate from outside writes the name of the outermost folder that
    has nothing but candidates in it, or the candidate's own.
    """
    own = set(candidates)
    shared = {above for path in files.entries if path not in own for above in parents(path)}
    words = set()
    for path in candidates:
        module = module_at(path)
        if module is not None:
            folders = [above for above in parents(path) if above not in shared]
            name = folders[0] if folders else module.name.replace(".", "/")
            words.add(name.rpartition("/")[2].encode())
    return words


def mentions_of(
    said: Mapping[str, bytes], words: Mapping[str, Collection[bytes]]
) -> dict[str, frozenset[str]]:
    """Return for each key the sources in which one of its words stands as in an import.

    said: source -> its `statements`. Looking for bytes first is many times quicker than the
    expression alone, and looking first for what hundreds of words begin with again.
    """
    wanted = {
        word: re.compile(rb"[\s.,(]" + re.escape(word) + rb"\b")
        for word in set().union(*words.values())
    }
    alike: dict[bytes, list[bytes]] = {}
    for word in wanted:
        alike.setdefault(word[:_STEM], []).append(word)
    found: dict[bytes, list[str]] = {word: [] for word in wanted}
    for path, text in said.items():
        for word in (word for stem, some in alike.items() if stem in text for word in some):
            if word in text and wanted[word].search(text):
                found[word].append(path)
    return {
        key: frozenset(path for word in listed for path in found[word])
        for key, listed in words.items()
    }


def imported_names(source: bytes, path: str, names: Collection[str], *, at_start: bool) -> set[str]:
    """Return which of `names` the source at `path` imports; a.b.c imports a and a.b too.

    source: its text, of which the `statements` are enough.
    """
    found: set[str] = set()
    for item in imports_of(source, module_at(path) or Module("", package=False)):
        name = item.name if item.at_start or not at_start else ""
        while name:
            if name in names:
                found.add(name)
            name = name.rpartition(".")[0]
    return found


def zoneinfo(rule: Rule, candidates: Sequence[str], stays: Files) -> set[str]:
    """Return all candidates where Python finds the environment's own time zones before them.

    `zoneinfo` looks below TZPATH first, which is compiled in, and in the package tzdata
    only for what it has not found there (PEP 615).
    """
    own = f"/{stays.prefix}/share/zoneinfo" if stays.prefix else "/share/zoneinfo"
    there = any(path.startswith("share/zoneinfo/") for path in stays.entries)
    for path, entry in stays.entries.items():
        if there and _SYSCONFIG.match(path) and (match := _TZPATH.search(entry.read())):
            return set(candidates) if own.encode() in match[1].split(b":") else set()
    return set()


def asks_sources(rule: Rule) -> bool:
    """Tell whether a rule's predicate needs `Files.imports`."""
    return PREDICATES.get(rule.when) is unimported


PREDICATES: Mapping[str, Callable[[Rule, Sequence[str], Files], set[str]]] = {
    "unneeded": unneeded,
    "unmentioned": unmentioned,
    "unopened": unopened,
    "unimported": unimported,
    "unimported-at-start": unimported,
    "zoneinfo": zoneinfo,
}
