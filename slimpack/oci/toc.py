"""Layers whose files can be read one by one: how the tar is cut, and its table of contents.

Both eStargz and zstd:chunked cut the tar where the content of a file begins, and every
4 MiB inside a file. Each piece is compressed by itself, and the table tells where it
begins in the blob; the pieces one after the other are an ordinary compressed tar. What
follows a content (padding, headers of the next members) stays in its piece: a reader
takes no more than the size of the file.

Files that a start needs come first, behind the directories, so that one request brings them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from slimpack.errors import ImageError
from slimpack.oci.config import rfc3339
from slimpack.oci.digest import CHUNK, HashingWriter
from slimpack.oci.jsontext import Object
from slimpack.oci.tar import BLOCK, Advance, check_time, content, tar_header
from slimpack.tree import Entry, Kind

PIECE = 4 << 20
"""Most bytes of a file in one piece: what is read at least for one byte of it."""

INDEX = "stargz.index.json"
LANDMARK = ".prefetch.landmark"
NO_LANDMARK = ".no.prefetch.landmark"
RESERVED = frozenset((INDEX, LANDMARK, NO_LANDMARK))
"""Members at the root of an eStargz layer that are no files of the image."""

_TYPES = {
    Kind.FILE: "reg",
    Kind.DIRECTORY: "dir",
    Kind.SYMLINK: "symlink",
    Kind.HARDLINK: "hardlink",
}


@dataclass(frozen=True)
class Table:
    """What a layer with a table is, beside its blob.

    diff_id, unpacked_size: of the tar. annotations: of its descriptor.
    """

    diff_id: str
    unpacked_size: int
    annotations: dict[str, str]


@dataclass(frozen=True)
class Piece:
    """Bytes of the tar that are compressed by themselves.

    item: of the table, whose content begins here; None for headers alone.
    """

    data: bytes
    item: Object | None


class Witness(Protocol):
    """Sees what the tar is made of, in its order."""

    def header(self, entry: Entry, data: bytes) -> None:
        """Take the headers of the next member."""

    def content(self, data: bytes) -> None:
        """Take more of its content."""


def in_order(members: Iterable[Entry], first: frozenset[str]) -> tuple[list[Entry], list[Entry]]:
    """Return directories and the files to come first, and all other members.

    first: paths; for a hard link, the file that it leads to comes first.
    """
    members = list(members)
    links = {one.path: one.link for one in members if one.kind is Kind.HARDLINK}
    wanted = {links.get(path, path) for path in first}
    early = [_early(member, wanted) for member in members]
    return (
        [member for member, now in zip(members, early, strict=True) if now],
        [member for member, now in zip(members, early, strict=True) if not now],
    )


def _early(member: Entry, wanted: set[str]) -> bool:
    return member.kind is Kind.DIRECTORY or (member.kind is Kind.FILE and member.path in wanted)


def cut(
    members: Iterable[Entry],
    items: list[Object],
    *,
    mtime: int,
    end: bytes,
    whole: bool,
    witness: Witness | None = None,
) -> Iterator[Piece]:
    """Yield the pieces of a tar of `members`, and add what they are to `items`.

    An item lacks its ``offset`` (`write_pieces`). end: bytes behind the last member.
    whole: also give the digest of the piece to files of one piece.
    Raises ImageError for a name that no JSON can hold, and as `slimpack.oci.tar.content` does.
    """
    pending, current = bytearray(), None
    for entry in members:
        header = tar_header(entry, check_time(mtime))
        if witness:
            witness.header(entry, header)
        pending += header
        item = _item(entry, mtime)
        items.append(item)
        sha256 = hashlib.sha256()
        for number, data in enumerate(_pieces(entry) if entry.size else ()):
            if witness:
                witness.content(data)
            sha256.update(data)
            yield Piece(bytes(pending), current)
            current = item if number == 0 else _chunk(item, number)
            if number:
                items.append(current)
            if entry.size > PIECE:
                current["chunkSize"] = len(data)
                current["chunkDigest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
            pending = bytearray(data)
        if entry.size:
            item["digest"] = f"sha256:{sha256.hexdigest()}"
            if whole:
                item.setdefault("chunkDigest", item["digest"])
            pending += bytes(-entry.size % BLOCK)
    yield Piece(bytes(pending) + end, current)


def _chunk(item: Object, number: int) -> Object:
    """Return the item of another piece of a file."""
    return {"name": item["name"], "type": "chunk", "chunkOffset": number * PIECE}


def write_pieces(
    pieces: Iterable[Piece],
    pack: Callable[[bytes], bytes],
    out: HashingWriter,
    tar: HashingWriter,
    *,
    threads: int,
    ends: bool,
    advance: Advance | None,
) -> None:
    """Compress pieces in threads, write them in their order, and tell their items where they are.

    tar: takes the pieces as they were. ends: also say where a piece ends.
    """
    waiting: deque[tuple[list[Piece], Future[list[bytes]]]] = deque()

    def write() -> None:
        batch, job = waiting.popleft()
        for piece, packed in zip(batch, job.result(), strict=True):
            if piece.item is not None:
                piece.item["offset"] = out.size
            out.write(packed)
            if piece.item is not None and ends:
                piece.item["endOffset"] = out.size

    with ThreadPoolExecutor(threads) as pool:
        try:
            for batch in _batches(pieces):
                waiting.append((batch, pool.submit(_packed, batch, pack)))
                for piece in batch:
                    tar.write(piece.data)
                    if advance is not None:
                        advance(len(piece.data))
                if len(waiting) > 2 * threads:
                    write()
            while waiting:
                write()
        finally:
            for _, job in waiting:
                job.cancel()


def _packed(batch: list[Piece], pack: Callable[[bytes], bytes]) -> list[bytes]:
    return [pack(piece.data) if piece.data else b"" for piece in batch]


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Gather pieces, most of which are small, to make a thread's work worth its while."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.data)
        if size >= CHUNK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(entry: Entry) -> Iterator[bytes]:
    """Yield a content in pieces that are full, whatever its stream gives at a time."""
    gathered = bytearray()
    for data in content(entry):
        gathered += data
        while len(gathered) >= PIECE:
            yield bytes(gathered[:PIECE])
            del gathered[:PIECE]
    if gathered:
        yield bytes(gathered)


def _item(entry: Entry, mtime: int) -> Object:
    """Return what the table says of a member, as its header in the tar does."""
    slash = "/" if entry.kind is Kind.DIRECTORY else ""
    item: Object = {
        "name": entry.path + slash,
        "type": _TYPES[entry.kind],
        "mode": entry.mode & 0o7777,
    }
    item |= {"size": entry.size} if entry.size else {}
    item |= {"linkName": entry.link} if entry.link else {}
    item |= {"uid": entry.uid} if entry.uid else {}
    item |= {"gid": entry.gid} if entry.gid else {}
    item |= {"modtime": rfc3339(mtime)} if mtime else {}
    for text in (entry.path, entry.link):
        _check_name(text)
    return item


def _check_name(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ImageError(
            f"{text[:200]!a} is no UTF-8, and a table of contents cannot name it",
            hint="compress the image with zstd or gzip, which need no table",
        ) from error
