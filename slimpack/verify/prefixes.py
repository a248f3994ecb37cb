"""No path of the build may reach the image: the scan of every byte.

conda packages carry the prefix they were built for; installing and relocating
must replace all of it, also in files that no metadata lists. The scan runs
inside the one pass that writes the layers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatch

from slimpack.errors import RelocationError
from slimpack.reading import watched
from slimpack.tree import Entry, Kind, Tree

# Pieces that every build prefix of conda-build and rattler-build contains, and
# conda's historic placeholder (split, so that this file does not contain it).
GENERIC_PLACEHOLDERS = ("_placehold_" + "placehold_", "/opt/anaconda1" + "anaconda2anaconda3")


def forbidden_paths(paths: Iterable[str], placeholders: Iterable[str] | None) -> tuple[bytes, ...]:
    """Return the byte strings that must not be in a result, without redundant ones.

    placeholders: those that packages declare, to which the well-known ones are
    added; None for files that hold placeholders by design.
    """
    wanted = {*paths, *(() if placeholders is None else (*placeholders, *GENERIC_PLACEHOLDERS))}
    return tuple(
        sorted(
            text.encode()
            for text in wanted
            if not any(other in text for other in wanted if other != text)
        )
    )


def scanned(
    tree: Tree,
    forbidden: tuple[bytes, ...],
    *,
    allow: tuple[str, ...] = (),
    origin: str = "",
    vouched: Callable[[Entry], bool] = lambda entry: False,
) -> Tree:
    """Return the tree with contents that raise RelocationError when they name such a path.

    allow: globs of image paths (``/opt/env/share/x/*``) that the user has
    declared harmless. Link targets are checked here and now.
    origin: where an existing environment came from, "" when that may be told. It can
    be a common word of documents (``/opt/conda``), so it counts as a whole path only,
    and not in files that are byte for byte as packaged (`vouched`).
    """
    keep = max(map(len, (*forbidden, os.fsencode(origin)))) + 1
    whole = re.compile(re.escape(os.fsencode(origin)) + rb"(?![\w.+-])") if origin else None

    def watch(entry: Entry) -> tuple[Callable[[bytes], None], Callable[[], None]]:
        tail = b""
        path = None if vouched(entry) else whole

        def see(data: bytes) -> None:
            nonlocal tail
            window = tail + data
            for text in forbidden:
                if text in window:
                    raise _leak(entry, text)
            if path and any(match.end() < len(window) for match in path.finditer(window)):
                raise _leak(entry, os.fsencode(origin))
            tail = window[-keep:]

        def end() -> None:
            if path and path.search(tail):
                raise _leak(entry, os.fsencode(origin))

        return see, end

    def change(entry: Entry) -> Entry:
        if any(fnmatch(f"/{entry.path}", pattern) for pattern in allow):
            return entry
        link = os.fsencode(entry.link)
        for text in forbidden:
            if text in link:
                raise _leak(entry, text)
        if whole and whole.search(link):
            raise _leak(entry, os.fsencode(origin))
        return watched(entry, watch) if entry.kind is Kind.FILE else entry

    return tree.map(change)


def _leak(entry: Entry, text: bytes) -> RelocationError:
    owner = f"package {entry.owner}" if entry.owner else "no package"
    return RelocationError(
        f"/{entry.path} ({owner}) still contains the build path "
        f"{text.decode('utf-8', 'replace')!r}",
        hint="the file was not relocated; if it is harmless, list it in slimpack.toml, under "
        f'[image] or [pack]: allow_build_paths = ["/{entry.path}"]',
    )
