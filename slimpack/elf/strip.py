"""Dropping sections that the loader never maps, without laying the file out anew.

binutils' strip writes segments anew from sections, and breaks libraries whose two views
no longer agree, such as those of wheels that auditwheel changed with patchelf. Here all
that a program header covers keeps its bytes, its address and its offset; only the
numbers of the ELF header that lead to the section headers change, which neither kernel
nor ld.so reads. What lies behind the last segment is written closer together, with a
new table of sections. That needs no tool, works for every architecture, and gives the
same bytes everywhere.

patchelf appends a segment, so sections lie between segments then. They are filled with
zeros: the file stays as large and compresses better. With ``close_gaps`` the segments
behind move up by whole pages (p_offset of program headers changes, no address does).

Not told by the file, so for callers to leave alone: files whose digest is kept elsewhere
(OpenSSL's ``ossl-modules/fips.so``, libraries with a ``.NAME.hmac`` beside them).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from slimpack.elf.headers import (
    SHF_INFO_LINK,
    SHT_SYMTAB,
    ElfError,
    Headers,
    Section,
    Source,
    read_headers,
)
from slimpack.elf.pieces import Copy, Literal, Piece, Writer, Zeros
from slimpack.elf.removable import RELOCATIONS, Layout, Level, examine
from slimpack.elf.symbols import without_sections

__all__ = ["WORTHWHILE", "Copy", "Level", "Literal", "StripPlan", "Zeros", "strip_plan"]

WORTHWHILE = 4096
"""Bytes that must go, else the file stays as its package has it: a block of a file system."""


@dataclass(frozen=True)
class StripPlan:
    """A file without some of its sections; sizes in bytes.

    size: of the original. new_size: of the result.
    zeroed: bytes of dropped sections that became zeros because segments lie behind them.
    pieces: the result in order (`slimpack.elf.pieces.Plan`).
    dropped: names of the sections that go.
    """

    size: int
    new_size: int
    zeroed: int
    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]

    @property
    def saved(self) -> int:
        """Bytes by which the file gets smaller; negative when there are zeros only."""
        return self.size - self.new_size


def strip_plan(
    stream: BinaryIO, size: int, level: Level, *, close_gaps: bool = False
) -> StripPlan | None:
    """Plan to drop the sections of `level` (`slimpack.elf.removable` says which).

    stream: the file of `size` bytes, seekable; read here to plan, not kept.
    close_gaps: let segments behind dropped sections move up by whole pages.
    None when less than `WORTHWHILE` bytes would go, for whatever is no program or shared
    library, and for files that are damaged or unusual in any way.
    """
    try:
        headers = read_headers(Source(stream, size, "file"))
        layout = examine(headers) if headers else None
        if layout is None:
            return None
        gone = layout.removable(level)
        dropped = sum(layout.headers.sections[n].size for n in gone)
        plan = _plan(layout, gone, close_gaps) if dropped >= WORTHWHILE else None
    except ElfError:
        return None
    return plan if plan and max(plan.saved, plan.saved + plan.zeroed) >= WORTHWHILE else None


def _plan(layout: Layout, gone: frozenset[int], close_gaps: bool) -> StripPlan | None:
    headers = layout.headers
    numbers = _numbers(layout, gone)
    sections = _relinked(layout, gone, numbers)
    if sections is None:
        return None
    rewritten = _symbol_tables(layout, gone, numbers, sections)
    if rewritten is None:
        return None
    writer = Writer(layout, close_gaps)
    kept = [n for n in layout.free if n not in gone and n != headers.shstrndx]
    for n in kept:
        section = headers.sections[n]
        writer.map_until(section.offset)
        place = writer.add(
            Literal(rewritten[n]) if n in rewritten else Copy(section.offset, section.size),
            section.align,
        )
        sections[n] = replace(sections[n], offset=place)
    writer.map_until(headers.source.size)
    movable = {*kept, headers.shstrndx}
    for n, section in enumerate(sections):
        if n not in movable and n not in gone and n:
            # Empty ones may have stood behind what is the end now.
            offset = min(writer.moved(section.offset), writer.position)
            sections[n] = replace(section, offset=offset)
    order = sorted((new, old) for old, new in enumerate(numbers) if new >= 0)
    table, names = _names(layout, gone)
    place = writer.add(Literal(names), 1)
    sections[headers.shstrndx] = replace(
        sections[headers.shstrndx], offset=place, size=len(names), addr=0, align=1
    )
    empty = Section(*(0,) * 10)
    data = b"".join(
        _packed(headers, empty if old in gone else replace(sections[old], name=table[old]))
        for _, old in order
    )
    start = writer.add(Literal(data), headers.bits // 8)
    pieces = writer.finish(start, len(order), numbers[headers.shstrndx])
    new_size = sum(piece.length for piece in pieces)
    behind = layout.mapped[-1][0]
    zeroed = sum(headers.sections[n].size for n in gone if headers.sections[n].offset < behind)
    return StripPlan(
        size=headers.source.size,
        new_size=new_size,
        zeroed=0 if close_gaps else zeroed,
        pieces=pieces,
        dropped=tuple(
            headers.section_names[n].decode("utf-8", "backslashreplace") for n in sorted(gone)
        ),
    )


def _numbers(layout: Layout, gone: frozenset[int]) -> list[int]:
    """Return the new index of each section, -1 for none.

    .dynsym, which is mapped, names sections by index. So the ones in memory keep theirs,
    and what goes before the last of them leaves an inactive header (SHT_NULL).
    """
    numbers: list[int] = []
    following = 0
    for n in range(len(layout.headers.sections)):
        stays = n <= layout.last_allocated or n not in gone
        numbers.append(following if stays else -1)
        following += stays
    return numbers


def _relinked(layout: Layout, gone: frozenset[int], numbers: list[int]) -> list[Section] | None:
    """Return the sections with new indices in them; None when one needs a section that goes."""
    sections = list(layout.headers.sections)
    names = layout.headers.shstrndx
    for n, section in enumerate(sections):
        if n in gone or n == 0:
            continue
        info_links = bool(section.flags & SHF_INFO_LINK) or section.type in RELOCATIONS
        links = {section.link, section.info} if info_links else {section.link}
        if max(links) >= len(sections) or (names in links):
            return None
        link, info = section.link, section.info
        if link in gone:
            # Relocations of a static program name .symtab and use nothing of it.
            if section.type not in RELOCATIONS or not section.allocated:
                return None
            link = 0
        if info_links and info in gone:
            return None
        sections[n] = replace(
            section, link=numbers[link], info=numbers[info] if info_links else info
        )
    return sections


def _symbol_tables(
    layout: Layout, gone: frozenset[int], numbers: list[int], sections: list[Section]
) -> dict[int, bytes] | None:
    """Rewrite the .symtab that stay and name sections that go or get another index.

    Their `sections` get the new size and number of local symbols. None when a table
    cannot be rewritten.
    """
    rewritten: dict[int, bytes] = {}
    lost = [-1 if n in gone else new for n, new in enumerate(numbers)]
    for n, section in enumerate(layout.headers.sections):
        if section.type != SHT_SYMTAB or n in gone:
            continue
        if n not in layout.free:
            return None
        found = without_sections(layout.headers, section, lost)
        if found is None:
            return None
        data, local = found
        if data is None:
            continue
        if any(other.link == n for m, other in enumerate(layout.headers.sections) if m not in gone):
            return None  # Something counts its symbols.
        rewritten[n] = data
        sections[n] = replace(sections[n], size=len(data), info=local)
    return rewritten


def _names(layout: Layout, gone: frozenset[int]) -> tuple[dict[int, int], bytes]:
    """Return the offset of each name in a new table of section names, and the table."""
    data = bytearray(b"\0")
    table: dict[int, int] = {}
    places: dict[bytes, int] = {b"": 0}
    for n, name in enumerate(layout.headers.section_names):
        if n in gone:
            continue
        if name not in places:
            places[name] = len(data)
            data += name + b"\0"
        table[n] = places[name]
    return table, bytes(data)


def _packed(headers: Headers, section: Section) -> bytes:
    return struct.pack(
        headers.section_format,
        *(section.name, section.type, section.flags, section.addr, section.offset),
        *(section.size, section.link, section.info, section.align, section.entsize),
    )
