"""Leaving GPU code for other devices out of a program or library.

A container stays where it is, because the program knows its address. The entries that
are needed move together behind its header, which gets their size; what is left of its
place becomes zeros. Nothing else changes in the program's memory. Long runs of zeros then
leave the file of a library (`slimpack.elf.holes`).

A container of which nothing is needed keeps an entry all the same, so that a device
that lacks code meets the error it always met ("no kernel image is available"), never
one of a damaged file: the smallest cubin of the file that no named device could run.

Left as they are: containers with an entry of an unknown kind (LTO-IR, which is linked
with rules of its own), and files that are unusual in any way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

from slimpack.cuda.fatbin import CUBIN, HEADER, MAGIC, Container, Entry, find_containers
from slimpack.cuda.keep import needed, serves
from slimpack.elf.headers import (
    ET_DYN,
    ET_EXEC,
    PT_LOAD,
    SHF_EXECINSTR,
    SHT_PROGBITS,
    ElfError,
    Headers,
    Section,
    Source,
    read_headers,
)
from slimpack.elf.holes import hole_edits
from slimpack.elf.pieces import Copy, Literal, Piece, Zeros, edited

_MACHINES = ("x86_64", "aarch64")
_MAX_STAND_IN = 16 * 1024
"""Bytes of an entry that stands in for others; larger ones would not be worth it."""
_WORTHWHILE = 4096


@dataclass(frozen=True)
class TrimPlan:
    """A file without the GPU code that named devices do not need; sizes in bytes.

    size: of the original. new_size: of the result. dropped: of the entries that go.
    pieces: the result in order (`slimpack.elf.pieces.Plan`).
    """

    size: int
    new_size: int
    dropped: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class GpuCode:
    """The GPU code of one file."""

    containers: tuple[Container, ...]

    @property
    def entries(self) -> Iterator[Entry]:
        """All of all containers."""
        return (entry for container in self.containers for entry in container.entries)

    def serves(self, device: int) -> bool:
        """Tell whether anything in it runs on devices of that architecture."""
        return any(serves(entry, device) for entry in self.entries)


def gpu_code(stream: BinaryIO, size: int) -> GpuCode | None:
    """Return the GPU code in a file of `size` bytes; None when it has none that is understood.

    stream: seekable. Not understood are files that are damaged or unusual.
    """
    source = Source(stream, size, "file")
    try:
        headers = read_headers(source)
        ranges = _data(headers) if headers else None
        if ranges is None:
            return None
        found = [found for start, end in ranges for found in find_containers(source, start, end)]
    except ElfError:
        return None
    return GpuCode(tuple(found)) if found else None


def trim_plan(
    stream: BinaryIO, size: int, code: GpuCode, devices: Collection[int], *, ptx: bool
) -> TrimPlan | None:
    """Plan to leave out what devices of these architectures (90 for 9.0) do not need.

    stream: the file that `code` was found in, seekable; read here to plan, not kept.
    ptx: all PTX stays. None when less than a block of a file system would go.
    """
    source = Source(stream, size, "file")
    stand_in = _stand_in(source, code, devices)
    pieces: list[Piece] = []
    place = dropped = 0
    for container in code.containers:
        stays = needed(container.entries, devices, ptx=ptx) if container.known else []
        if not container.known or len(stays) == len(container.entries):
            continue
        content: list[Piece] = [Copy(entry.offset, entry.size) for entry in stays]
        if not content:
            if stand_in is None:
                continue
            content.append(stand_in)
        length = sum(piece.length for piece in content)
        rest = container.end - container.offset - HEADER.size - length
        if rest <= 0:
            continue
        pieces.append(Copy(place, container.offset - place))
        pieces.append(Literal(HEADER.pack(MAGIC, 1, HEADER.size, length)))
        pieces += [*content, Zeros(rest)]
        place = container.end
        dropped += rest
    if dropped < _WORTHWHILE:
        return None
    pieces.append(Copy(place, size - place))
    whole = _without_zeros(source, tuple(pieces))
    return TrimPlan(size, sum(piece.length for piece in whole), dropped, tuple(_joined(whole)))


def _without_zeros(source: Source, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return what is left of a trimmed file when its zeros leave it, if they can."""
    ends = accumulate(piece.length for piece in pieces)
    zeros = [
        (end - piece.length, end)
        for piece, end in zip(pieces, ends, strict=True)
        if isinstance(piece, Zeros)
    ]
    try:
        headers = read_headers(source)
        edits = hole_edits(headers, zeros) if headers else None
    except ElfError:
        return pieces
    return edited(pieces, edits) if edits else pieces


def _data(headers: Headers) -> list[tuple[int, int]] | None:
    """Return where constants and variables lie in the file; None for an unusual file."""
    known = headers.bits == 64 and headers.order == "<" and headers.machine_name in _MACHINES
    if not known or headers.type not in (ET_EXEC, ET_DYN):
        return None
    loaded = [segment for segment in headers.segments if segment.type == PT_LOAD]
    ranges = sorted(
        (section.offset, section.end) for section in headers.sections if _holds_data(section)
    )
    for n, (start, end) in enumerate(ranges):
        inside = any(segment.offset <= start and end <= segment.end for segment in loaded)
        if not inside or (n and ranges[n - 1][1] > start):
            return None
    return ranges


def _holds_data(section: Section) -> bool:
    return (
        section.type == SHT_PROGBITS
        and section.allocated
        and not section.flags & SHF_EXECINSTR
        and section.size > 0
    )


def _stand_in(source: Source, code: GpuCode, devices: Collection[int]) -> Literal | None:
    """Return the smallest entry that none of the devices could run."""
    foreign = (
        entry
        for entry in code.entries
        if entry.kind == CUBIN and not any(serves(entry, device) for device in devices)
    )
    entry = min(foreign, key=lambda entry: (entry.size, entry.offset), default=None)
    if entry is None or entry.size > _MAX_STAND_IN:
        return None
    return Literal(source.read(entry.offset, entry.size, "GPU code"))


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Put copies of neighbours together, and leave out empty pieces."""
    last: Copy | None = None
    for piece in pieces:
        if not piece.length:
            continue
        if isinstance(piece, Copy) and last and last.offset + last.length == piece.offset:
            last = Copy(last.offset, last.length + piece.length)
            continue
        if last:
            yield last
        last = piece if isinstance(piece, Copy) else None
        if last is None:
            yield piece
    if last:
        yield last
