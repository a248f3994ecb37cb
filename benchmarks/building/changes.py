"""Small changes, as a patch release makes them: a line more in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LINE = b"\n# one line more\n"


def add_line(name: str, data: bytes) -> bytes:
    """Return the file with a line more: a comment for Python, an empty one for any other text."""
    return data + (LINE if name.endswith(".py") else b"\n")


def changed_source(files: dict[str, bytes]) -> Mapping[str, bytes]:
    """Return the files of a package, one of them with a line more (`benchmarks.channel.renew`)."""
    name = chosen(files)
    return {**files, name: add_line(name, files[name])}


def chosen(files: Mapping[str, bytes]) -> str:
    """Return the file to change: one that no slimming takes, and whose change does no harm.

    Of Python's sources the ``__init__.py`` that is highest up; in a package without any, the
    largest text that is no header and no document; where all is binary, the largest file, which
    a byte at its end does no harm. Raises ValueError for a package without files.
    """
    sources = [name for name in files if name.endswith(".py")]
    if sources:
        return min(sources, key=lambda name: (not name.endswith("__init__.py"), *_depth(name)))
    texts = [name for name in files if _used(name) and b"\0" not in files[name]]
    candidates = texts or list(files)
    if not candidates:
        raise ValueError("a package without files cannot change")
    return max(candidates, key=lambda name: (len(files[name]), name))


def _depth(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _used(name: str) -> bool:
    return not _any_part(name, ("include", "doc", "man", "conda-meta", "licenses", "pkgconfig"))


def _any_part(name: str, parts: Iterable[str]) -> bool:
    return bool(set(name.split("/")).intersection(parts))
