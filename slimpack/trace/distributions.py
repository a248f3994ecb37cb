"""Distributions of an environment, from their metadata: files and entry points.

Formats: the PyPA specifications 'Recording installed projects' (RECORD, a CSV with
paths from site-packages) and 'Entry points' (entry_points.txt, an INI file).
"""

from __future__ import annotations

import configparser
import csv
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slimpack.tree import Entry, Kind

_INFO = re.compile(r"(?P<site>(?:.*/)?site-packages)/(?P<name>[^/]+\.dist-info)/(?P<file>.+)")
_ENTRY = re.compile(r"\s*(?P<module>[\w.]+)\s*(?::.*|\[.*)?\s*\Z", re.DOTALL)
MAX_METADATA = 32 << 20
"""Bytes of a RECORD or entry_points.txt that are read; a larger one is passed over."""


@dataclass(frozen=True)
class Distribution:
    """One dist-info folder. Paths are below the prefix.

    metadata: the files in it. files: what RECORD lists besides. modules: that its entry
    points name. scripts: names of the programs that they make.
    """

    folder: str
    metadata: tuple[str, ...]
    files: tuple[str, ...]
    modules: tuple[str, ...]
    scripts: tuple[str, ...]


def read_distributions(files: Mapping[str, Entry]) -> tuple[Distribution, ...]:
    """Return the distributions among `files`, path below the prefix -> entry."""
    found: dict[str, list[str]] = {}
    for path in sorted(files):
        match = _INFO.fullmatch(path)
        if match:
            found.setdefault(f"{match['site']}/{match['name']}", []).append(path)
    return tuple(_read(folder, metadata, files) for folder, metadata in found.items())


def _read(folder: str, metadata: list[str], files: Mapping[str, Entry]) -> Distribution:
    site = posixpath.dirname(folder)
    recorded = (
        posixpath.normpath(f"{site}/{name}")
        for name in _record(_text(files.get(f"{folder}/RECORD")))
    )
    points = list(_entry_points(_text(files.get(f"{folder}/entry_points.txt"))))
    return Distribution(
        folder=folder,
        metadata=tuple(metadata),
        files=tuple(path for path in recorded if path in files and path not in metadata),
        modules=tuple(module for _, _, module in points),
        scripts=tuple(name for group, name, _ in points if group.endswith("_scripts")),
    )


def _text(entry: Entry | None) -> str:
    if entry is None or entry.kind is not Kind.FILE or entry.size > MAX_METADATA:
        return ""
    return entry.read().decode("utf-8", "surrogateescape")


def _record(text: str) -> Iterator[str]:
    try:
        for row in csv.reader(text.splitlines()):
            if row and row[0] and not row[0].startswith("/"):
                yield row[0]
    except csv.Error:  # the rest of a damaged file: whoever reads it meets the same
        return


class _Parser(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        """Leave names as they are."""
        return optionstr


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, module)."""
    parser = _Parser(delimiters=("=",), strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for group in parser.sections():
        for name, value in parser.items(group):
            match = _ENTRY.match(value or "")
            if match:
                yield group, name, match["module"]
