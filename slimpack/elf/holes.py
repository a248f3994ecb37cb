"""Leaving zeros out of a shared library's file while they stay in its memory.

A segment (PT_LOAD) whose memory is larger than its part of the file is filled up with
zeros by the loader, as .bss is. So a segment with a long run of zeros inside becomes two:
the first ends in the file where the run starts and in memory where it ends. No address
changes, and every byte of memory is what it was.

The larger table of program headers takes the place of the first zeros that go: it stays
within a segment, at the same distance from the start of the file as in memory. What lies
behind a run moves up in the file by whole pages. The table of section headers is written
anew at the end; a section with a run inside becomes several of the same name.

Only glibc is known to fill segments that are not writable (dl-map-segments.h does since
its first version; musl does not, and nobody asks for these bytes), and the kernel, which
loads programs, has rules of its own: programs and other systems' libraries are left alone.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from slimpack.elf.headers import (
    ET_DYN,
    PT_DYNAMIC,
    PT_INTERP,
    PT_LOAD,
    PT_PHDR,
    SHF_EXECINSTR,
    SHN_LORESERVE,
    Headers,
    Section,
)
from slimpack.elf.pieces import Edit, Literal, Zeros

Range = tuple[int, int]
"""Offsets of the first byte and of the first behind."""

_PAGES = {"x86_64": 4096, "aarch64": 65536}
"""Machine -> its largest page in bytes."""
_PF_X = 1
_DT_FLAGS_1, _DF_1_PIE = 0x6FFFFFFB, 0x08000000
_MAX_DYNAMIC = 64 * 1024
_MIN_HOLE = 32 * 1024
"""Bytes; a smaller one is not worth two mappings in every process."""
_MAX_HOLES = 400
"""In one file. A process may have 65,530 mappings."""
_PROGRAM = struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True, slots=True)
class _Program:
    """A program header, whole."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    @property
    def end(self) -> int:
        return self.offset + self.filesz

    def packed(self) -> bytes:
        return _PROGRAM.pack(
            *(self.type, self.flags, self.offset, self.vaddr, self.paddr),
            *(self.filesz, self.memsz, self.align),
        )


class _Holes:
    """The ranges of the file that go, and where things are without them."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = ranges
        self._starts = [start for start, _ in ranges]
        self._gone = [0]
        for start, end in ranges:
            self._gone.append(self._gone[-1] + end - start)

    def moved(self, offset: int) -> int:
        """Return the new offset of what is at one; what goes is where it started."""
        n = bisect_right(self._starts, offset)
        if n and offset < self.ranges[n - 1][1]:
            offset = self.ranges[n - 1][1]
        return offset - self._gone[n]

    def inside(self, start: int, end: int) -> Sequence[Range]:
        """Return those between two offsets."""
        return [one for one in self.ranges if start <= one[0] and one[1] <= end]


def hole_edits(headers: Headers, zeros: Sequence[Range]) -> list[Edit] | None:
    """Return what leaves out runs of zeros, as edits of the file; None when nothing can go.

    zeros: ranges of the file that hold nothing but zeros, sorted. Raises ElfError for
    tables that are damaged.
    """
    step = _PAGES.get(headers.machine_name)
    if step is None or headers.bits != 64 or headers.order != "<" or headers.type != ET_DYN:
        return None
    programs = _programs(headers)
    loads = [program for program in programs if program.type == PT_LOAD]
    if not headers.section_names or not _usual(programs, loads, step) or _is_program(headers):
        return None
    found = _largest([_hole(headers, programs, zero, step) for zero in zeros], step)
    if not found:
        return None
    place = found[0][0]
    # Each hole splits a segment, and one that is executable may be split once more.
    count = len(programs) + len(found) + len(loads)
    space = -(-count * _PROGRAM.size // step) * step
    if place + space >= found[0][1] or count >= 0xFFFF:
        return None
    holes = _Holes([(place + space, found[0][1]), *found[1:]])
    parts = [new for old in programs for new in _split(headers, old, holes, step)]
    if len(parts) > count:
        return None
    home = next(one for one in loads if _covers(one, found[0]))
    table = b"".join(
        (_table_itself(one, place, home, len(parts)) if one.type == PT_PHDR else one).packed()
        for one in parts
    )
    edits = [Edit(start, end) for start, end in holes.ranges]
    edits.append(Edit(place, place + len(table), (Literal(table),)))
    sections = _sections(headers.sections, holes, place)
    if len(sections) >= SHN_LORESERVE:
        return None
    size = headers.source.size
    end = holes.moved(size)
    shoff = -(-end // 8) * 8
    data = b"".join(struct.pack(headers.section_format, *_fields(one)) for one in sections)
    edits.append(Edit(size, size, (Zeros(shoff - end), Literal(data))))
    edits += _old_table(headers, programs)
    start = bytearray(headers.source.read(0, headers.ehsize, "header"))
    struct.pack_into("<QQ", start, 32, place, shoff)
    struct.pack_into("<H", start, 56, len(parts))
    struct.pack_into("<H", start, 60, len(sections))
    edits.append(Edit(0, len(start), (Literal(bytes(start)),)))
    return edits


def _programs(headers: Headers) -> list[_Program]:
    count = len(headers.segments)
    table = headers.source.read(headers.phoff, count * _PROGRAM.size, "table of program headers")
    return [_Program(*fields) for fields in _PROGRAM.iter_unpack(table)]


def _usual(programs: Sequence[_Program], loads: Sequence[_Program], step: int) -> bool:
    """Tell whether segments are as linkers lay them out, each with a range of its own."""
    if not loads or loads[0].offset:
        return False
    return all(
        one.filesz <= one.memsz and (one.vaddr - one.offset) % step == 0 for one in loads
    ) and all(
        one.vaddr + one.memsz <= two.vaddr and one.end <= two.offset for one, two in pairwise(loads)
    )


def _is_program(headers: Headers) -> bool:
    """Tell whether the kernel starts it, itself (a static program) or by an interpreter."""
    kinds = {segment.type: segment for segment in headers.segments}
    dynamic = kinds.get(PT_DYNAMIC)
    if PT_INTERP in kinds or dynamic is None or dynamic.filesz > _MAX_DYNAMIC:
        return True
    data = headers.source.read(dynamic.offset, dynamic.filesz // 16 * 16, "dynamic segment")
    return any(
        tag == _DT_FLAGS_1 and value & _DF_1_PIE for tag, value in struct.iter_unpack("<QQ", data)
    )


def _largest(found: Sequence[Range | None], step: int) -> list[Range]:
    """Return the largest of some ranges, in order and with a page between them at least."""
    holes = sorted(filter(None, found), key=lambda one: one[0] - one[1])[:_MAX_HOLES]
    result: list[Range] = []
    for start, end in sorted(holes):
        if not result or result[-1][1] + step <= start:
            result.append((start, end))
    return result


def _hole(headers: Headers, programs: Sequence[_Program], zero: Range, step: int) -> Range | None:
    """Return the pages of a run of zeros that can go, None for none worth it."""
    start, end = -(-zero[0] // step) * step, zero[1] // step * step
    owner = next((one for one in programs if _is_load(one) and _covers(one, zero)), None)
    if owner is None or start - step < owner.offset:
        return None
    others = (one for one in programs if one is not owner and one.filesz)
    if any(one.offset < end and start < one.end for one in others):
        return None
    # The page before belongs to what is filled up, which shall not be executable.
    if owner.flags & _PF_X and _executable(headers, start - step, end):
        return None
    return (start, end) if end - start >= _MIN_HOLE else None


def _is_load(program: _Program) -> bool:
    return program.type == PT_LOAD


def _covers(program: _Program, zero: Range) -> bool:
    return program.offset <= zero[0] and zero[1] <= program.end


def _executable(headers: Headers, start: int, end: int) -> bool:
    return any(
        section.flags & SHF_EXECINSTR and section.offset < end and start < section.end
        for section in headers.sections
    )


def _split(headers: Headers, program: _Program, holes: _Holes, step: int) -> list[_Program]:
    """Return the program headers that come in the place of one."""
    inside = holes.inside(program.offset, program.end) if _is_load(program) else ()
    parts: list[_Program] = []
    place = program.offset
    for start, end in inside:
        middle = start - step
        if program.flags & _PF_X and place < middle and _executable(headers, place, middle):
            parts.append(_cut(program, place, middle, middle, holes, step))
            place = middle
        filled = _cut(program, place, start, end, holes, step)
        parts.append(replace(filled, flags=program.flags & ~_PF_X))
        place = end
    last = program.offset + program.memsz if _is_load(program) else program.end
    return [*parts, _cut(program, place, program.end, last, holes, step)]


def _cut(
    program: _Program, start: int, end: int, filled: int, holes: _Holes, step: int
) -> _Program:
    """Return the part of a segment between two offsets of the old file, filled up to a third."""
    offset = holes.moved(start)
    return replace(
        program,
        offset=offset,
        vaddr=program.vaddr + start - program.offset,
        paddr=program.paddr + start - program.offset,
        filesz=end - start,
        memsz=filled - start if _is_load(program) else program.memsz,
        align=program.align
        if offset == program.offset or not _is_load(program)
        else min(program.align, step),
    )


def _table_itself(program: _Program, place: int, home: _Program, count: int) -> _Program:
    """Return PT_PHDR for a table of so many headers at an offset in a segment."""
    size, ahead = count * _PROGRAM.size, place - home.offset
    return replace(
        program,
        offset=place,
        vaddr=home.vaddr + ahead,
        paddr=home.paddr + ahead,
        filesz=size,
        memsz=size,
    )


def _sections(sections: Sequence[Section], holes: _Holes, table: int) -> list[Section]:
    """Return the sections at their new places; what is behind a hole becomes a new one.

    table: offset of the program headers before the first hole, which are in no section.
    """
    result: list[Section] = []
    more: list[Section] = []
    for section in sections:
        place = section.offset
        parts: list[Section] = []
        for start, end in holes.inside(section.offset, section.end):
            parts.append(_piece(section, place, start if parts or place > table else table, holes))
            place = end
        parts.append(_piece(section, place, section.end, holes))
        result.append(replace(parts[0], size=section.size) if len(parts) == 1 else parts[0])
        more += parts[1:]
    return [*result, *more]


def _piece(section: Section, start: int, end: int, holes: _Holes) -> Section:
    return replace(
        section,
        addr=section.addr + start - section.offset,
        offset=holes.moved(start),
        size=end - start,
    )


def _fields(section: Section) -> tuple[int, ...]:
    return (
        *(section.name, section.type, section.flags, section.addr, section.offset),
        *(section.size, section.link, section.info, section.align, section.entsize),
    )


def _old_table(headers: Headers, programs: Sequence[_Program]) -> list[Edit]:
    """Return zeros for the old section headers, unless something else may lie there."""
    start = headers.shoff
    end = start + headers.shnum * headers.shentsize
    taken = [(one.offset, one.end) for one in programs if one.filesz]
    taken += [(one.offset, one.end) for one in headers.sections if one.filesz]
    if start < headers.ehsize or any(one < end and start < two for one, two in taken):
        return []
    return [Edit(start, end, (Zeros(end - start),))]
