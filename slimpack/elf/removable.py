"""Which sections of an ELF file may go, and whether its layout lets them go safely.

A section may go when it is not part of the program's memory (no SHF_ALLOC), no program
header covers a byte of it, and it is one that only debuggers and linkers read:

- "debug": DWARF and stabs with their relocations and indices, and annobin's notes on
  how each function was compiled;
- "symbols": also .symtab with its strings, .gnu_debugdata (a compressed .symtab) and
  relocations that were kept for later linking. Never .dynsym and .dynstr: they are mapped.

What stays: .comment (who compiled it, some 50 bytes), .note.stapsdt (the probes of
tracing tools), .gnu_debuglink (30 bytes that lead a debugger to the debug file of a
distribution, more useful after a strip than before), and every section not named above.

A file is left alone when anything about it is unusual: sections that reach into
segments, program memory outside segments, overlaps, bytes behind the end that belong to
nothing (AppImage and other payloads), sections that somebody added under a name of his
own (PyInstaller's ``pydata``), other systems (CUDA binaries, Guile's .go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from slimpack.elf.headers import (
    ET_DYN,
    ET_EXEC,
    SHT_GROUP,
    SHT_NULL,
    SHT_PROGBITS,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    Headers,
    Section,
)

Level = Literal["debug", "symbols"]
Range = tuple[int, int]
"""Offsets of the first byte and of the first behind."""

RELOCATIONS = (SHT_REL, SHT_RELA)
_DEBUG = re.compile(
    rb"\.z?debug(?:_.*)?|\.gdb_index|\.gnu_debugaltlink|\.stab.*|\.line"
    rb"|\.gnu\.build\.attributes.*|\.annobin\..*",
    re.DOTALL,
)
_DEBUGDATA = b".gnu_debugdata"
_SYSTEMS = (0, 3)
"""ELFOSABI_SYSV and ELFOSABI_GNU: what Linux programs have."""
_MAX_SECTIONS = 4096
_MAX_PADDING = 64 * 1024
"""Bytes of zeros between two parts of a file; the largest page has as many."""
_MAX_STALE = 16 * 1024
"""Bytes that patchelf may leave where the section headers were before, with padding."""


@dataclass(frozen=True)
class Layout:
    """A file whose sections may be dropped.

    mapped: what the ELF header and the program headers cover, joined and sorted.
    free: indices of the sections outside of that, by offset; they do not overlap.
    """

    headers: Headers
    mapped: tuple[Range, ...]
    free: tuple[int, ...]

    @cached_property
    def last_allocated(self) -> int:
        """The highest index of a section in memory, which .dynsym may name."""
        sections = self.headers.sections
        return max((n for n, section in enumerate(sections) if section.allocated), default=0)

    def removable(self, level: Level) -> frozenset[int]:
        """Return the indices of the sections that `level` drops."""
        sections, names = self.headers.sections, self.headers.section_names
        free = [n for n in self.free if n != self.headers.shstrndx]
        gone = {n for n in free if _DEBUG.fullmatch(names[n])}
        if level == "symbols":
            gone |= {
                *(n for n in free if names[n] == _DEBUGDATA),
                *(n for n in free if sections[n].type == SHT_SYMTAB),
            }
        gone |= {
            n
            for n in free
            if sections[n].type in RELOCATIONS and gone & {sections[n].info, sections[n].link}
        }
        if level == "symbols":
            strings = {sections[n].link for n in gone if sections[n].type == SHT_SYMTAB}
            used = {section.link for n, section in enumerate(sections) if n not in gone}
            gone |= {n for n in free if n in strings - used and sections[n].type == SHT_STRTAB}
        return frozenset(gone)


def examine(headers: Headers) -> Layout | None:
    """Return how the file is laid out; None when it should be left alone.

    Raises ElfError for tables that are damaged.
    """
    if headers.type not in (ET_EXEC, ET_DYN) or headers.osabi not in _SYSTEMS:
        return None
    sections = headers.sections
    if not headers.phnum or headers.machine_name.startswith("machine-"):
        return None
    if not 0 < len(sections) <= _MAX_SECTIONS or headers.phoff < headers.ehsize:
        return None
    size = headers.source.size
    names = sections[headers.shstrndx] if headers.shstrndx < len(sections) else sections[0]
    if names.type != SHT_STRTAB or names.allocated:
        return None
    mapped = _joined(_mapped(headers))
    if mapped[-1][1] > size or sections[0].type != SHT_NULL:
        return None
    free = []
    for index, section in enumerate(sections):
        if section.end > size or section.type in (SHT_GROUP, SHT_SYMTAB_SHNDX):
            return None
        if not section.filesz or _inside(section, mapped):
            continue
        if section.allocated or not _known(section, headers.section_names[index]):
            return None
        free.append(index)
    free.sort(key=lambda index: sections[index].offset)
    taken = sorted([*mapped, *((sections[n].offset, sections[n].end) for n in free)])
    if any(one[1] > two[0] for one, two in pairwise(taken)):
        return None
    return Layout(headers, mapped, tuple(free)) if _no_payload(headers, mapped, taken) else None


def _mapped(headers: Headers) -> list[Range]:
    return [
        (0, headers.ehsize),
        (headers.phoff, headers.phoff + headers.phnum * headers.phentsize),
        *((segment.offset, segment.end) for segment in headers.segments if segment.filesz),
    ]


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _inside(section: Section, mapped: Sequence[Range]) -> bool:
    return any(start <= section.offset and section.end <= end for start, end in mapped)


def _known(section: Section, name: bytes) -> bool:
    return section.type != SHT_PROGBITS or name.startswith(b".")


def _no_payload(headers: Headers, mapped: Sequence[Range], taken: Sequence[Range]) -> bool:
    """Tell whether every byte belongs to something or is padding."""
    table = (headers.shoff, headers.shoff + headers.shnum * headers.shentsize)
    moved_table = any(start <= table[0] and table[1] <= end for start, end in mapped)
    claimed = _joined([*taken, table, (headers.source.size, headers.source.size)])
    for (_, start), (end, _) in pairwise(claimed):
        if end - start > _MAX_PADDING:
            return False
        if any(headers.source.read(start, end - start, "padding")):
            # patchelf moves the section headers into a segment and leaves the old ones.
            stale = moved_table and end - start <= _MAX_STALE and end < mapped[-1][1]
            if not stale:
                return False
    return True
