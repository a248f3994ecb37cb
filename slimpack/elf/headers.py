"""The three tables of an ELF file: its header, its segments, its sections.

Formats: System V ABI, chapters 4 and 5 (ELF header, sections, program header); all in
32 and 64 bit and in both byte orders. Nothing here trusts a number of the file:
counts are bounded and whatever is read must lie inside the file.

An own reader instead of pyelftools, which takes 8.6 ms a file for segments, dynamic
tags and version needs where this one takes 1.2 (700 files of /usr and of wheels); finds
version needs through sections, which the loader does not read and patched files may
lack; and follows the offsets of a hostile file without a bound.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Literal

MAGIC = b"\x7fELF"

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_PHDR = 1, 2, 3, 6
SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA = 0, 1, 2, 3, 4
SHT_NOBITS, SHT_REL, SHT_GROUP, SHT_SYMTAB_SHNDX = 8, 9, 17, 18
SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK = 0x2, 0x4, 0x40
SHN_LORESERVE = 0xFF00

_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_MAX_SEGMENTS = 1024
"""Real files have some dozens; one without GPU code that nobody needs has hundreds."""
_MAX_NAMES = 1024 * 1024
"""Bytes of a table of section names; real ones have some hundreds."""
_MAX_NAME = 512


class ElfError(ValueError):
    """The file calls itself ELF and is damaged; the message starts with the file's name."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: what the loader or the kernel looks at; offsets and sizes in bytes."""

    type: int
    offset: int
    vaddr: int
    filesz: int
    align: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.filesz


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; `name` is an offset into the table of names."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int

    @property
    def filesz(self) -> int:
        """Bytes of the file that it takes."""
        return 0 if self.type in (SHT_NULL, SHT_NOBITS) else self.size

    @property
    def end(self) -> int:
        """Offset of the first byte of the file behind it."""
        return self.offset + self.filesz

    @property
    def allocated(self) -> bool:
        """Whether it is part of the program's memory."""
        return bool(self.flags & SHF_ALLOC)


@dataclass(frozen=True)
class Source:
    """A file that is read by offset. `name` stands in errors, `size` is in bytes."""

    stream: BinaryIO
    size: int
    name: str

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Return exactly `size` bytes; ElfError when they are not all inside the file."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.error(f"its {what} is not inside the file")
        self.stream.seek(offset)
        data = self.stream.read(size)
        if len(data) != size:
            raise self.error(f"it ends inside its {what}")
        return data

    def error(self, why: str) -> ElfError:
        """Return the error to raise."""
        return ElfError(f"{self.name}: damaged ELF file: {why}")


@dataclass(frozen=True)
class Headers:
    """The ELF header; segments and sections are read when they are asked for.

    bits: 32 or 64. order: ``<`` little or ``>`` big endian, as `struct` has it.
    """

    source: Source
    bits: int
    order: Literal["<", ">"]
    osabi: int
    type: int
    machine: int
    phoff: int
    shoff: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int

    @property
    def machine_name(self) -> str:
        """Name as in ``uname -m``, else ``machine-N``."""
        name = _MACHINES.get(self.machine, f"machine-{self.machine}")
        if name == "ppc64" and self.order == "<":
            return "ppc64le"
        return "riscv32" if name == "riscv64" and self.bits == 32 else name

    @property
    def section_format(self) -> str:
        """`struct` format of a section header."""
        return f"{self.order}IIQQQQIIQQ" if self.bits == 64 else f"{self.order}10I"

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The program headers; ElfError when the table is damaged."""
        form = f"{self.order}IIQQQQQQ" if self.bits == 64 else f"{self.order}8I"
        if not self.phnum:
            return ()
        if self.phnum > _MAX_SEGMENTS or self.phentsize != struct.calcsize(form):
            raise self.source.error("its program headers have an unknown form")
        size = self.phnum * self.phentsize
        table = self.source.read(self.phoff, size, "table of program headers")
        if self.bits == 64:
            return tuple(
                Segment(kind, offset, vaddr, filesz, align)
                for kind, _, offset, vaddr, _, filesz, _, align in struct.iter_unpack(form, table)
            )
        return tuple(
            Segment(kind, offset, vaddr, filesz, align)
            for kind, offset, vaddr, _, filesz, _, _, align in struct.iter_unpack(form, table)
        )

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers, the empty first one too; ElfError when they are damaged.

        Empty when there is no table; one of more than 65,279 sections is refused.
        """
        if not self.shoff or not self.shnum:
            return ()
        if self.shnum >= SHN_LORESERVE or self.shentsize != struct.calcsize(self.section_format):
            raise self.source.error("its section headers have an unknown form")
        size = self.shnum * self.shentsize
        table = self.source.read(self.shoff, size, "table of section headers")
        return tuple(Section(*fields) for fields in struct.iter_unpack(self.section_format, table))

    @cached_property
    def section_names(self) -> tuple[bytes, ...]:
        """The name of each section; ElfError when one is not to be found."""
        if not 0 < self.shstrndx < len(self.sections):
            raise self.source.error("it has no table of section names")
        table = self.sections[self.shstrndx]
        if table.filesz > _MAX_NAMES:
            raise self.source.error("its table of section names is too long")
        data = self.source.read(table.offset, table.filesz, "table of section names")
        names = []
        for section in self.sections:
            end = data.find(b"\0", section.name, section.name + _MAX_NAME)
            if end < 0:
                raise self.source.error("a section has no name")
            names.append(data[section.name : end])
        return tuple(names)


def read_headers(source: Source) -> Headers | None:
    """Read the ELF header; None when the file is no ELF file, ElfError when it is damaged."""
    if source.size < len(MAGIC) or source.read(0, 4, "header") != MAGIC:
        return None
    ident = source.read(0, 16, "header")
    bits = {1: 32, 2: 64}.get(ident[4])
    order: Literal["<", ">"] | None = "<" if ident[5] == 1 else ">" if ident[5] == 2 else None
    if bits is None or order is None or ident[6] != 1:
        raise source.error("its header names an unknown class, byte order or version")
    form = f"{order}HHI{'QQQ' if bits == 64 else 'III'}I6H"
    fields = struct.unpack(form, source.read(16, struct.calcsize(form), "header"))
    kind, machine, _, _, phoff, shoff, _, ehsize, phentsize, phnum, shentsize, shnum, names = fields
    if ehsize != 16 + struct.calcsize(form):
        raise source.error("its header has a wrong size")
    return Headers(
        *(source, bits, order, ident[7], kind, machine, phoff, shoff),
        *(ehsize, phentsize, phnum, shentsize, shnum, names),
    )
