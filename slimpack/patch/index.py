"""What old layers hold: members by path, by content, and by what they were called before.

Tars are looked at as spans: each member with its headers, content and padding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from slimpack.oci.tar import BLOCK
from slimpack.oci.untar import TarReader
from slimpack.patch.segment import Range
from slimpack.patch.spool import Spool

MAX_MEMBERS = 300_000
"""Members of old layers that are remembered: 1 KB each at most."""

_VERSION = re.compile(r"-\d.*?(?=(?:\.[a-z][a-z_-]*)?$)")
_DIGITS = re.compile(r"\d+(?:\.\d+)*")
_PACKAGES = "site-packages"


@dataclass(frozen=True, slots=True)
class Span:
    """One member of a tar: its headers from `start` on, its content from `offset` on.

    end: after its content and padding.
    content: digest of content and padding, b"" for what has none.
    """

    path: str
    start: int
    offset: int
    end: int
    content: bytes


def spans(tar: Spool, what: str) -> Iterator[Span]:
    """Yield the members of a tar, in order. Raises ImageError for what is none."""
    stream = tar.stream()
    start = 0
    for member in TarReader(stream, what, skip=stream.skip):
        end = member.offset + member.size + -member.size % BLOCK
        content = b""
        if member.size:
            digest = hashlib.sha256()
            for data in tar.pieces(member.offset, end - member.offset):
                digest.update(data)
            content = digest.digest()
        yield Span(member.path, start, member.offset, end, content)
        start = end


@dataclass(frozen=True, slots=True)
class Old:
    """A member of the tar of the base with the number `base`."""

    base: int
    span: Span

    @property
    def whole(self) -> Range:
        """All of it."""
        return Range(self.base, self.span.start, self.span.end - self.span.start)

    @property
    def content(self) -> Range:
        """Its content and padding."""
        return Range(self.base, self.span.offset, self.span.end - self.span.offset)


class Index:
    """The members of old layers; those of later layers go before those of earlier ones."""

    def __init__(self) -> None:
        self._members: list[Old] = []
        self._by_path: dict[str, Old] = {}
        self._by_content: dict[bytes, Old] = {}
        self._by_name: dict[str, Old] = {}
        self._by_place: dict[tuple[str, str], Old] = {}

    @property
    def full(self) -> bool:
        """Whether no more members are taken."""
        return len(self._members) >= MAX_MEMBERS

    def add(self, base: int, span: Span) -> None:
        """Remember a member."""
        old = Old(base, span)
        self._members.append(old)
        self._by_path[span.path] = old
        if span.content:
            name = without_version(span.path)
            self._by_content.setdefault(span.content, old)
            self._by_name[name] = old
            self._by_place.setdefault(place(name), old)

    def only(self, bases: frozenset[int]) -> Index:
        """Return what there is of some of the bases."""
        chosen = Index()
        for old in self._members:
            if old.base in bases:
                chosen.add(old.base, old.span)
        return chosen

    def at(self, path: str) -> Old | None:
        """Return the member of that path."""
        return self._by_path.get(path)

    def same(self, span: Span) -> Old | None:
        """Return a member with the same content, of the same path if possible."""
        there = self._by_path.get(span.path)
        if there is not None and there.span.content == span.content:
            return there
        return self._by_content.get(span.content)

    def like(self, path: str) -> Old | None:
        """Return the member whose content is most likely to resemble that of `path`.

        It has that path; or that path in another version; or that name in the same package.
        """
        there = self._by_path.get(path)
        if there is not None and there.span.content:
            return there
        name = without_version(path)
        return self._by_name.get(name) or self._by_place.get(place(name))


def without_version(path: str) -> str:
    """Return a path in which versions are gone and other numbers are all the same.

    ``idna-3.10.dist-info/RECORD`` is ``idna.dist-info/RECORD``, ``libfoo.so.1.2`` is
    ``libfoo.so.0``, ``conda-meta/idna-3.10-pyh1_0.json`` is ``conda-meta/idna.json``.
    """
    return "/".join(_DIGITS.sub("0", _VERSION.sub("", part)) for part in path.split("/"))


def place(name: str) -> tuple[str, str]:
    """Return the package folder and the file name of a path without version."""
    folder, _, file = name.rpartition("/")
    above, found, below = folder.partition(f"{_PACKAGES}/")
    return (f"{above}{found}{below.partition('/')[0]}" if found else folder), file
