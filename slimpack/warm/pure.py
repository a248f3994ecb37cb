"""Packages that consist of modules alone: what other versions of them change, Python tells.

They have modules and data in folders of their own in ``site-packages``, programs that their
entry points are, and records. No library that a loader finds, no file that Python runs at its
start, no part of a namespace that another package shares, nothing beside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set

from slimpack.slim.record import RECORD
from slimpack.tree import Entry, Kind, under

_SITE = re.compile(r"lib/python3\.\d+t?/site-packages/")
_PLAIN = re.compile(r"(?:bin/[^/]+|conda-meta/[^/]+\.json)\Z")
_RECORDS = (".dist-info", ".egg-info")
# What Python runs or reads at its start (`site`), zipped packages, and libraries.
_STARTS = frozenset(("sitecustomize", "usercustomize"))
_ENDINGS = (".pth", ".egg", ".egg-link")
_INITS = ("__init__.py", "__init__.pyc")
_CUDA = re.compile(r"cuda|nvidia|cudnn|nccl")  # names that checks of drivers look for


def pure_owners(entries: Iterable[Entry], prefix: str, tied: Set[str]) -> frozenset[str]:
    """Return the packages that qualify.

    entries: of the environment at `prefix`. tied: packages with ELF files or links, or that share
    paths with others (`slimpack.warm.ties`).
    """
    inside = under(prefix, "")
    tops: dict[str, set[str]] = {}
    regular: dict[tuple[str, str], bool] = {}
    bad = {"", *tied}
    for entry in entries:
        owner, path = entry.owner, entry.path.removeprefix(inside)
        site = _SITE.match(path)
        if not entry.path.startswith(inside) or not _is_plain(entry, path):
            bad.add(owner)
        elif site:
            top, _, rest = path[site.end() :].partition("/")
            if not rest or top != "__pycache__":
                tops.setdefault(top, set()).add(owner)
            if rest and top != "__pycache__" and not top.endswith(_RECORDS):
                key = owner, top
                regular[key] = regular.get(key, False) or rest in _INITS
    for owners in tops.values():
        if len(owners) > 1:
            bad |= owners
    bad |= {owner for (owner, _), has_init in regular.items() if not has_init}
    return frozenset(owner for owners in tops.values() for owner in owners - bad)


def is_record(path: str, prefix: str) -> bool:
    """Tell whether a file is a record of all packages together, which no package owns."""
    return path in (under(prefix, "conda-meta/history"), under(prefix, RECORD))


def top_modules(paths: Iterable[str], prefix: str) -> Iterator[str]:
    """Yield the top-level modules that files of ``site-packages`` are of."""
    inside = under(prefix, "")
    for path in paths:
        below = path.removeprefix(inside)
        if site := _SITE.match(below):
            name = below[site.end() :].removeprefix("__pycache__/")
            yield name.partition("/")[0].partition(".")[0]


def _is_plain(entry: Entry, path: str) -> bool:
    """Tell whether a file may be of a pure package. path: below the prefix."""
    if entry.kind is Kind.DIRECTORY:
        return True
    site = _SITE.match(path)
    if entry.kind is not Kind.FILE or _CUDA.search(entry.owner):
        return False
    if not site:
        return bool(_PLAIN.match(path))
    top, _, rest = path[site.end() :].partition("/")
    name = (rest or top).rpartition("/")[2]
    alone = not rest or top == "__pycache__"
    return (
        ".so" not in name
        and not top.endswith(_ENDINGS)
        and not (alone and name.partition(".")[0] in _STARTS)
        and top.partition(".")[0] not in _STARTS
    )
