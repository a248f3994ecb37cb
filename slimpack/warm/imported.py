"""Which modules need not be imported again although packages have changed.

When all modules are imported, Python tells what the loading of each depended on
(`slimpack.verify.import_recorder`). The record is kept by all that an image consists of but the
packages of modules alone (`slimpack.warm.pure`) and the contents of plain files. With other
versions of such packages, what is imported again is what is of them and all that could see, by
the record, one of the files that came, went or changed. Nothing else can come out otherwise.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from slimpack import app
from slimpack.cache.kinds import IMPORTED
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.oci.jsontext import canonical
from slimpack.tree import Entry, Kind, Tree, parents, under
from slimpack.verify.context import Watched
from slimpack.verify.dependence import Change, Dependence, concerned, from_json
from slimpack.verify.lookup import Lookup
from slimpack.verify.model import Result
from slimpack.warm.pure import is_record, pure_owners, top_modules
from slimpack.warm.restore import restored, strings, texts

_TOKEN = 32  # hex digits that tell two contents apart


@dataclass(frozen=True)
class Files:
    """The files of an environment in an image, as records of imports are kept by them.

    loose: path -> [owner, token], of pure packages and of what lists all packages. rest: digest
    of all others, "" where one of them cannot be told. folders: those that the others are in.
    owners: path -> package, of all files.
    """

    prefix: str
    loose: Mapping[str, tuple[str, str]]
    rest: str
    folders: Set[str]
    owners: Mapping[str, str]


@dataclass(frozen=True)
class Imported:
    """What is known of importing modules, and of what was verified then.

    loaded: module -> its package. known: not to be asked. failed: module -> why it failed.
    changed: paths of files that came, went or changed since; moved: those that came or went,
    with folders; packages: whose they are.
    elf: files of pure packages that are ELF files all the same. how: digest of how the image is
    started and verified. results: what came of all checks.
    """

    dependence: Dependence
    loaded: Mapping[str, str]
    known: frozenset[str]
    failed: Mapping[str, str]
    changed: frozenset[str]
    moved: frozenset[str]
    packages: frozenset[str]
    elf: frozenset[str]
    how: str
    results: tuple[Result, ...]


def files_of(tree: Tree, prefix: str, tied: Callable[[], Set[str]] | None) -> Files:
    """Return the files of `tree`, the application's aside.

    tied: gives what `pure_owners` wants to know, or raises MALFORMED; None where nobody knows.
    """
    with suppress(*MALFORMED):
        if tied is not None:
            return _files_of(tree, prefix, tied())
    return nothing()


def nothing() -> Files:
    """Return what tells of no files."""
    return Files("", {}, "", frozenset(), {})


def _files_of(tree: Tree, prefix: str, tied: Set[str]) -> Files:
    entries = [entry for entry in tree if entry.owner != app.OWNER]
    pure = pure_owners(entries, prefix, tied)
    loose: dict[str, tuple[str, str]] = {}
    others, folders, certain = [], set(), True
    for entry in entries:
        certain = certain and bool(entry.identity or entry.kind is not Kind.FILE)
        if entry.owner in pure or is_record(entry.path, prefix):
            loose[entry.path] = (entry.owner, _token(entry))
        else:
            others.append(_row(entry))
            folders.update(parents(entry.path))
    rest = hashlib.sha256(canonical(others)).hexdigest() if certain else ""
    owners = {entry.path: entry.owner for entry in entries if entry.kind is not Kind.DIRECTORY}
    return Files(prefix, loose, rest, folders, owners)


def recall_imported(key: str, files: Files, memos: Memo) -> Imported | None:
    """Return what holds of earlier imports with these files; None where nothing does."""
    data = memos.get(IMPORTED, key) if key else None
    if data is None:
        return None
    with suppress(*MALFORMED):
        value = json.loads(data)
        return _judged(value, files)
    return None


def _judged(value: Mapping[str, Any], files: Files) -> Imported | None:
    dependence, loaded = from_json(value["dependence"]), texts(value["loaded"])
    before = {path: (str(owner), str(token)) for path, (owner, token) in value["files"].items()}
    now = files.loose
    others = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
    owners = {table[path][0] for table in (before, now) for path in others if path in table} - {""}
    change = Change(others, _moved(before, now, files.folders))
    seen = concerned(dependence, change, set(top_modules(others, files.prefix)))
    if seen is None:
        return None
    known = frozenset(
        name
        for name, package in loaded.items()
        if package not in owners and name.partition(".")[0] not in seen
    )
    return Imported(
        dependence=dependence,
        loaded=loaded,
        known=known,
        failed=texts(value["failed"]),
        changed=frozenset(others),
        moved=frozenset(change.moved),
        packages=frozenset(owners),
        elf=frozenset(strings(value["elf"])),
        how=str(value["how"]),
        results=tuple(restored(Result, one) for one in value["results"]),
    )


def keep_imported(
    key: str,
    files: Files,
    watched: Watched,
    lookup: Lookup,
    before: Imported | None,
    memos: Memo,
    *,
    elf: Iterable[str] = (),
    how: str = "",
    results: Iterable[Result] = (),
) -> None:
    """Keep what was learned, and what of earlier imports still holds.

    watched: of the imports that were made now. lookup: where paths of the image lead. elf, how,
    results: see `Imported`.
    """
    dependence, loaded = placed(watched.dependence, files, lookup), dict(watched.loaded)
    if before:
        dependence = before.dependence.merged(dependence)
        loaded |= {name: before.loaded[name] for name in before.known}
    if not key or not loaded or not watched.dependence.complete:
        return
    value: dict[str, Any] = {
        "files": files.loose,
        "loaded": loaded,
        "dependence": dependence.to_json(),
        "failed": watched.failed,
        "elf": sorted(files.loose.keys() & set(elf)),
        "how": how,
        "results": [asdict(one) for one in results],
    }
    memos.put(IMPORTED, key, json.dumps(value).encode())


def placed(dependence: Dependence, files: Files, lookup: Lookup) -> Dependence:
    """Return what modules depend on with paths of the tree, which `lookup` knows."""
    return dependence.placed(_place(lookup, under(files.prefix, "")))


def _place(lookup: Lookup, inside: str) -> Callable[[str], str | None]:
    """Return what gives a path of the tree for an absolute one of the image, links followed.

    None for what does not lie in the environment: it is the same, or the record counts not at all.
    """

    def place(path: str) -> str | None:
        if lookup.is_outside(path):
            return None
        found = _resolved(lookup, posixpath.normpath(path))
        return found if f"{found}/".startswith(inside) else None

    return place


def _resolved(lookup: Lookup, path: str) -> str:
    found = lookup.resolve(path)
    if found is not None or path == "/":
        return found or ""
    folder, name = posixpath.split(path)
    above = _resolved(lookup, folder)
    return f"{above}/{name}" if above else name


def _moved(before: Iterable[str], now: Iterable[str], folders: Set[str]) -> set[str]:
    """Return the files and folders that are in one alone. folders: of files that are in both."""
    there = [{*paths, *(above for path in paths for above in parents(path))} - folders
             for paths in (set(before), set(now))]  # fmt: skip
    return there[0] ^ there[1]


def import_key(common: list[Any], files: Files) -> str:
    """Return by what records are kept, "" where that cannot be told.

    common: all that imports follow from beside the environment's files.
    """
    return digest_of("imported", common, files.prefix, files.rest) if files.rest else ""


def _row(entry: Entry) -> list[str]:
    about = f"{entry.kind.value} {entry.mode:o} {entry.uid} {entry.gid}"
    return [entry.path, about, entry.link, entry.identity or ""]


def _token(entry: Entry) -> str:
    return hashlib.sha256(canonical(_row(entry))).hexdigest()[:_TOKEN]
