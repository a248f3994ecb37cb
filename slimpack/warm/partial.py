"""Verifying an image of which only packages of modules alone have changed, without most files.

What is imported again needs the packages that it read the last time, and what these depend on.
The files of the others are not unpacked; Python tells when a module asks for one nevertheless.
Checks that look into files look into those of the changed packages, and what they found in
others holds. Those of native code hold as a whole, as no library and no link is another one.
Where any of this does not fit, all is unpacked and verified.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from slimpack.env.locks.lock import Lock
from slimpack.tree import parents, under
from slimpack.verify.context import Watched
from slimpack.verify.dependence import misses, places, reached
from slimpack.verify.libraries import read_elf_files
from slimpack.verify.model import Result, Verification
from slimpack.verify.subject import Subject
from slimpack.warm.closure import closure
from slimpack.warm.imported import Files, Imported, placed
from slimpack.warm.pure import is_record, top_modules

NATIVE = (
    *("elf-needed", "symbol-versions", "cuda-libraries", "cuda-driver", "driver-libraries"),
    "nvidia-variables",
)
"""Checks that ask libraries, links, names of both, and how the image is started."""
BY_FILE = ("interpreters", "bytecode", "secrets", "records", "licences")
"""Checks whose findings follow from a file, what is beside it, and its package's record."""
COMPARING = ("elf-needed", "cuda-libraries")
"""Of `NATIVE`, those that also ask what could be imported in the environment before slimming."""

# Nothing that a loader finds: of packages that are needed for their libraries alone, it may rest.
_DATA = "share/"
# What modules find that list site-packages, beside folders; and the bytecode of these modules.
_LISTED = re.compile(r"lib/python3\.\d+t?/site-packages/(?:__pycache__/)?[^/]+\Z")


@dataclass(frozen=True)
class Partial:
    """What need not be looked at.

    known: path -> package, of files of unchanged packages. absent: those that are not unpacked,
    and folders of nothing else.
    results: of checks that are not made again, by name.
    """

    imported: Imported
    known: Mapping[str, str]
    absent: frozenset[str]
    results: Mapping[str, Result]


def partial_of(imported: Imported, files: Files, lock: Lock | None, how: str) -> Partial | None:
    """Return what may rest, None where all has to be looked at.

    lock: tells what packages depend on. how: see `Imported`.
    """
    results = {one.name: one for one in imported.results}
    if (
        lock is None
        or how != imported.how
        or not {*NATIVE, *BY_FILE} <= results.keys()
        or any(results[name].findings for name in COMPARING)
        or imported.elf & imported.changed
        or any(path.startswith(under(files.prefix, "bin/")) for path in imported.moved)
    ):
        return None
    read = {"python", *imported.packages, *_read(imported, files)}
    needed = closure(lock, read)
    known = {
        path: owner
        for path, owner in files.owners.items()
        if owner and owner not in imported.packages and not is_record(path, files.prefix)
    }
    data = under(files.prefix, _DATA)
    absent = {
        path
        for path, owner in known.items()
        if owner not in read and (owner not in needed or path.startswith(data))
    }
    absent |= _folders(absent) - _folders(files.owners.keys() - absent)
    absent = {path for path in absent if not _is_listed(path, files.prefix)}
    native = {name: results[name] for name in NATIVE}
    return Partial(imported, known, frozenset(absent), native)


def is_enough(partial: Partial, subject: Subject, watched: Watched, done: Verification,
              files: Files) -> bool:  # fmt: skip
    """Tell whether `done`, which was made of what was there, holds of the whole image."""
    failed = partial.imported.failed
    changed = [one for one in subject.files if one.path in partial.imported.changed]
    found = read_elf_files(changed, subject.platform)
    return (
        not done.failed
        and not found.files
        and not found.damaged
        and watched.dependence.complete
        and watched.retried <= watched.failed.keys()  # nobody watches the second time
        and all(failed.get(name) == why for name, why in watched.failed.items())
        and not misses(placed(watched.dependence, files, subject.lookup), partial.absent)
    )


def with_known(partial: Partial, done: Verification) -> Verification:
    """Return a verification with what was found before in files that it has not looked at."""
    before = {one.name: one for one in partial.imported.results}
    return replace(
        done,
        results=tuple(
            _joined(one, before[one.name], partial) if one.name in BY_FILE else one
            for one in done.results
        ),
    )


def _joined(now: Result, before: Result, partial: Partial) -> Result:
    packages = partial.imported.packages
    held = {
        finding
        for finding in before.findings
        if finding.path in partial.known and finding.package not in packages
    }
    found = sorted({*now.findings, *held}, key=lambda one: (one.path, one.message))
    return replace(now, findings=tuple(found), skipped="" if found else now.skipped)


def _read(imported: Imported, files: Files) -> Iterator[str]:
    """Yield the packages of which a module that is imported again has read a file."""
    again = [*(imported.loaded.keys() - imported.known), *imported.failed]
    tops = {name.partition(".")[0] for name in again}
    nodes = reached(imported.dependence, tops | set(top_modules(imported.changed, files.prefix)))
    asked = set(places(imported.dependence, nodes))
    for path, owner in files.owners.items():
        if path in asked or _stem(path) in asked:
            yield owner


def _folders(paths: Iterable[str]) -> set[str]:
    return {above for path in paths for above in parents(path)}


def _stem(path: str) -> str:
    folder, name = posixpath.split(path)
    return f"{folder}/{name.partition('.')[0]}"


def _is_listed(path: str, prefix: str) -> bool:
    return bool(_LISTED.match(path.removeprefix(under(prefix, ""))))
