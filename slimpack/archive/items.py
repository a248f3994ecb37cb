"""What a reader of an archive yields: a member as it is stored, not trusted yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slimpack.oci.untar import MemberKind


@dataclass(frozen=True, slots=True)
class Item:
    """One member.

    name: as stored, with whatever it holds; undecodable bytes as surrogates.
    mode: as stored. mtime: whole seconds since the epoch, as stored.
    size: bytes of content; 0 for all but files.
    link: target of a link, as stored.
    """

    name: str
    kind: MemberKind
    mode: int
    mtime: int
    size: int = 0
    link: str = ""


Items = Iterator[tuple[Item, Iterator[bytes]]]
"""Members, each with its content, which must be read before the next one is asked for."""
