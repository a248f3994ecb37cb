"""Where an environment's own path stands in its files.

A portable archive keeps the placeholder that packages were built with; the
program that the target runs, ``bin/conda-unpack``, puts the real path in its
place. Byte offsets are noted here, while the placeholder, about 255
characters that occur nowhere else, can still be found without doubt: later, a
prefix such as ``/e`` would be found inside other words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from slimpack.errors import RelocationError
from slimpack.portable import unpack_program
from slimpack.tree import Kind, Tree

Mode = Literal["text", "binary"]
Step = tuple[int, int, int]


class Prefixed(Protocol):
    """What is known of a file with a placeholder: `PrefixedFile`, or anything like it."""

    @property
    def path(self) -> str:
        """Path inside the environment."""

    @property
    def placeholder(self) -> str:
        """The path that stands in the file."""

    @property
    def mode(self) -> str:
        """``text``, or ``binary`` where strings end with NUL and keep their space."""


@dataclass(frozen=True, slots=True)
class PrefixedFile:
    """A file of an environment that holds a placeholder, as package metadata tell it."""

    path: str
    placeholder: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class PrefixRecord:
    """A file with its placeholder's places.

    size: bytes of the file with the placeholder.
    steps: for each occurrence (gap, tail, count), see `slimpack.portable.unpack_program`.
    """

    path: str
    placeholder: str
    mode: Mode
    size: int
    steps: tuple[Step, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Byte offset of each occurrence, in a file that has its placeholder."""
        length = len(self.placeholder.encode())
        found = []
        position = 0
        for gap, tail, _ in self.steps:
            found.append(position + gap)
            position += gap + length + tail
        return tuple(found)


def find_records(tree: Tree, prefixes: Iterable[Prefixed]) -> tuple[PrefixRecord, ...]:
    """Return a record, in order of path, for each file that holds its placeholder.

    tree: the environment as it goes into the archive, paths relative to it.
    Files that are not in the tree (any more), links, and files without the
    placeholder are left out. Raises RelocationError for a file that has two
    different placeholders inside, and for a name that conda-unpack cannot hold.
    """
    found: dict[str, PrefixRecord] = {}
    for item in sorted(set(_named(prefixes))):
        entry = tree.get(item[0])
        if entry is None or entry.kind is not Kind.FILE:
            continue
        record = _record(*item, data=entry.read())
        if not record.steps:
            continue
        if record.path in found:
            raise RelocationError(
                f"{record.path} holds two different build prefixes",
                hint="pack with --dest-prefix, or leave the file out",
            )
        found[record.path] = record
    return tuple(found.values())


def _named(prefixes: Iterable[Prefixed]) -> Iterable[tuple[str, str, Mode]]:
    for item in prefixes:
        mode: Mode = "binary" if item.mode == "binary" else "text"
        if item.mode != mode:
            raise RelocationError(f"{item.path}: unknown prefix mode {item.mode!r}")
        yield item.path, item.placeholder, mode


def _record(path: str, placeholder: str, mode: Mode, *, data: bytes) -> PrefixRecord:
    try:
        # Python, too, ends a line at a carriage return: what follows would be run.
        if "\n" in path + placeholder or "\r" in path + placeholder:
            raise ValueError
        path.encode()
        needle = placeholder.encode()
    except ValueError as error:  # lone surrogates are names that are not UTF-8
        raise RelocationError(
            f"{path!r} holds its prefix, but such a name cannot stand in conda-unpack",
            hint="pack with --dest-prefix, or leave the file out",
        ) from error
    steps = tuple(unpack_program.find_steps(data, needle, mode))
    return PrefixRecord(path, placeholder, mode, len(data), steps)
