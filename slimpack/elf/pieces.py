"""A file described as pieces of another one, and the writer that places them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slimpack.elf.headers import Headers
from slimpack.elf.removable import Layout

_MAX_ALIGN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Copy:
    """`length` bytes of the original from `offset` on."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are new."""

    data: bytes

    @property
    def length(self) -> int:
        """Number of bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Zeros:
    """That many zeros."""

    length: int


Piece = Copy | Literal | Zeros


class Plan(Protocol):
    """A file made of another one, which is read once from start to end."""

    @property
    def size(self) -> int:
        """Bytes of the original."""

    @property
    def new_size(self) -> int:
        """Bytes of the result."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The result in order; copies have rising offsets and do not overlap."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes from `start` to `end` of a planned file, and what comes in their place."""

    start: int
    end: int
    pieces: tuple[Piece, ...] = ()


def fingerprint(plan: Plan) -> str:
    """Return a text that is another one wherever plans make other bytes of one original."""
    value = hashlib.sha256()
    for piece in plan.pieces:
        value.update(repr(piece).encode())
    return value.hexdigest()


def edited(pieces: Sequence[Piece], edits: Sequence[Edit]) -> tuple[Piece, ...]:
    """Return the pieces with edits, which do not overlap, by offset in the planned file."""
    result: list[Piece] = []
    start = 0
    left = sorted(edits, key=lambda edit: (edit.start, edit.end))[::-1]
    for piece in pieces:
        end = start + piece.length
        place = start
        while left and left[-1].start < end:
            edit = left[-1]
            if edit.start >= place:
                result.append(part(piece, place - start, edit.start - start))
                result += edit.pieces
            place = min(edit.end, end)
            if edit.end > end:
                break
            left.pop()
        result.append(part(piece, place - start, piece.length))
        start = end
    for edit in reversed(left):
        result += edit.pieces  # At the very end.
    return tuple(piece for piece in result if piece.length)


def part(piece: Piece, start: int, end: int) -> Piece:
    """Return the bytes of a piece between two offsets in it."""
    if isinstance(piece, Copy):
        return Copy(piece.offset + start, end - start)
    if isinstance(piece, Literal):
        return Literal(piece.data[start:end])
    return Zeros(end - start)


class Writer:
    """Places mapped ranges and sections one behind the other."""

    def __init__(self, layout: Layout, close_gaps: bool) -> None:
        self.layout = layout
        self.step = _page(layout.headers) if close_gaps else 0
        self.pieces: list[Piece] = []
        self.position = 0
        self.shifts: list[tuple[int, int]] = []
        """Where each mapped range started, and by how much it moved up."""

    def map_until(self, offset: int) -> None:
        """Place the mapped ranges that start before an offset of the original."""
        while len(self.shifts) < len(self.layout.mapped):
            start, end = self.layout.mapped[len(self.shifts)]
            if start >= offset:
                return
            space = start - self.position
            shift = space - space % self.step if self.step else 0
            self._fill(start - shift)
            self.shifts.append((start, shift))
            self._put(Copy(start, end - start))

    def add(self, piece: Copy | Literal, align: int) -> int:
        """Place a section; return its offset."""
        align = max(align, 1)
        if align > _MAX_ALIGN:
            raise self.layout.headers.source.error("a section has an impossible alignment")
        self._fill(-(-self.position // align) * align)
        place = self.position
        self._put(piece)
        return place

    def moved(self, offset: int) -> int:
        """Return where something of a mapped range is now."""
        return offset - max(pair for pair in self.shifts if pair[0] <= offset)[1]

    def finish(self, shoff: int, shnum: int, shstrndx: int) -> tuple[Piece, ...]:
        """Return all pieces, with the tables at the start brought up to date."""
        headers = self.layout.headers
        patches = {0: _elf_header(headers, self.moved(headers.phoff), shoff, shnum, shstrndx)}
        if any(shift for _, shift in self.shifts):
            patches[headers.phoff] = self._program_headers()
        return _patched(self.pieces, patches)

    def _program_headers(self) -> bytes:
        headers = self.layout.headers
        size = headers.phnum * headers.phentsize
        table = bytearray(headers.source.read(headers.phoff, size, "program headers"))
        place, form = (8, "Q") if headers.bits == 64 else (4, "I")
        for n, segment in enumerate(headers.segments):
            offset = self.moved(segment.offset)
            struct.pack_into(headers.order + form, table, n * headers.phentsize + place, offset)
        return bytes(table)

    def _fill(self, position: int) -> None:
        if position < self.position:
            raise self.layout.headers.source.error("its sections have impossible alignments")
        self._put(Zeros(position - self.position))

    def _put(self, piece: Piece) -> None:
        if piece.length:
            self.pieces.append(piece)
            self.position += piece.length


def _page(headers: Headers) -> int:
    """Return the distance by whose multiples segments may move: the largest alignment."""
    alignments = {segment.align for segment in headers.segments if segment.align}
    if any(align & (align - 1) for align in alignments):
        raise headers.source.error("a segment has an impossible alignment")
    return max(4096, *alignments)


def _elf_header(headers: Headers, phoff: int, shoff: int, shnum: int, shstrndx: int) -> bytes:
    data = bytearray(headers.source.read(0, headers.ehsize, "header"))
    word, place = ("Q", 32) if headers.bits == 64 else ("I", 28)
    struct.pack_into(f"{headers.order}{word}{word}", data, place, phoff, shoff)
    struct.pack_into(f"{headers.order}HH", data, headers.ehsize - 4, shnum, shstrndx)
    return bytes(data)


def _patched(pieces: Sequence[Piece], patches: dict[int, bytes]) -> tuple[Piece, ...]:
    """Put new bytes in the place of copied ones, by offset in the original."""
    result: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, Copy):
            result.append(piece)
            continue
        position, end = piece.offset, piece.offset + piece.length
        for start, data in sorted(patches.items()):
            if position <= start < end:
                if start > position:
                    result.append(Copy(position, start - position))
                result.append(Literal(data))
                position = start + len(data)
        if position < end:
            result.append(Copy(position, end - position))
    return tuple(result)
