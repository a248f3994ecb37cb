"""What an ELF file is and what it needs, read as the loader reads it.

The loader knows no sections: names, search paths and versions come from the dynamic
segment (PT_DYNAMIC), so files that patchelf changed or whose section headers are gone
are read right. Formats: System V ABI chapter 5 (dynamic section), Linux Standard Base
chapter 10.7 (symbol versions), glibc's elf.h.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, Literal

from slimpack.elf.headers import (
    ET_CORE,
    ET_DYN,
    ET_EXEC,
    ET_REL,
    PT_DYNAMIC,
    PT_INTERP,
    PT_LOAD,
    ElfError,
    Headers,
    Source,
    read_headers,
)

__all__ = ["Elf", "ElfError", "ElfKind", "read_elf", "seekable_elf"]

ElfKind = Literal["executable", "shared", "relocatable", "core"]

_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 0, 1, 5, 10
_DT_SONAME, _DT_RPATH, _DT_RUNPATH = 14, 15, 29
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = (0x6FFFFFFC + n for n in range(4))
_DT_FLAGS_1, _DF_1_NODEFLIB, _DF_1_PIE = 0x6FFFFFFB, 0x800, 0x08000000
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2

# Far above what real files have; a hostile one meets them within milliseconds.
_MAX_DYNAMIC = 64 * 1024
_MAX_PATH = 4096
_MAX_SEARCH_PATH = 64 * 1024
_MAX_TEXT = 4 * 1024 * 1024
_MAX_VERSIONS = 20_000


@dataclass(frozen=True)
class Elf:
    """What one ELF file says of itself. Texts are UTF-8, other bytes as lone surrogates.

    bits: 32 or 64.
    byteorder: of its numbers.
    machine: as in ``uname -m`` (x86_64, aarch64, ppc64le), else ``machine-N``.
    kind: a position-independent program is "executable", although its type is ET_DYN.
    soname: DT_SONAME, "" without.
    needed: DT_NEEDED, in their order.
    rpath, runpath: folders of DT_RPATH and DT_RUNPATH as stored (``$ORIGIN/../lib``; ""
        is the working directory). ld.so ignores `rpath` when there is a `runpath`.
    interpreter: path of the loader that the kernel starts, "" for none.
    version_needs: versions that must be defined, by the name in `needed` whose library
        has to define them. Weak ones, without which ld.so goes on, are left out.
    version_defs: versions that it defines; its base version, a name of its own, is left out.
    no_default_paths: ld.so does not look into the system's folders for it (DF_1_NODEFLIB).
    """

    bits: int
    byteorder: Literal["little", "big"]
    machine: str
    kind: ElfKind
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str = ""
    version_needs: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    version_defs: tuple[str, ...] = ()
    no_default_paths: bool = False

    @property
    def platform(self) -> tuple[str, int, str]:
        """What two files must have in common to be loaded together."""
        return self.machine, self.bits, self.byteorder


def seekable_elf(stream: BinaryIO) -> BinaryIO | None:
    """Return the ELF file in a stream that stands at its beginning, None when it holds none.

    The result stands there too and can seek; for that, a stream that cannot is read to its end.
    """
    head = stream.read(4)
    if head != b"\x7fELF":
        return None
    if stream.seekable():
        stream.seek(0)
        return stream
    return io.BytesIO(head + stream.read())


def read_elf(stream: BinaryIO, size: int, name: str) -> Elf | None:
    """Read an ELF file of `size` bytes from a seekable stream; None when it is none.

    name: stands in errors, usually the path.
    Raises ElfError for a file that starts as ELF files do and cannot be read as one;
    errors of the stream itself come through. Reads some kilobytes only, whatever the size.
    """
    source = Source(stream, size, name)
    headers = read_headers(source)
    if headers is None:
        return None
    if headers.type not in (ET_REL, ET_EXEC, ET_DYN, ET_CORE):
        raise source.error(f"its type {headers.type} is unknown")
    byteorder: Literal["little", "big"] = "little" if headers.order == "<" else "big"
    if headers.type in (ET_REL, ET_CORE):
        kind: ElfKind = "relocatable" if headers.type == ET_REL else "core"
        return Elf(headers.bits, byteorder, headers.machine_name, kind)
    interpreter = _interpreter(headers)
    dynamic = _Dynamic(headers)
    soname = dynamic.text(_DT_SONAME)
    flags = dynamic.numbers.get(_DT_FLAGS_1, 0)
    # Linkers before 2016 did not mark programs; glibc's libc.so.6 has an interpreter too.
    program = headers.type == ET_EXEC or flags & _DF_1_PIE or (interpreter and not soname)
    return Elf(
        bits=headers.bits,
        byteorder=byteorder,
        machine=headers.machine_name,
        kind="executable" if program else "shared",
        soname=soname,
        needed=tuple(dynamic.string(offset, _MAX_PATH) for offset in dynamic.needed),
        rpath=dynamic.folders(_DT_RPATH),
        runpath=dynamic.folders(_DT_RUNPATH),
        interpreter=interpreter,
        version_needs=MappingProxyType(_version_needs(dynamic)),
        version_defs=_version_defs(dynamic),
        no_default_paths=bool(flags & _DF_1_NODEFLIB),
    )


def _interpreter(headers: Headers) -> str:
    for segment in headers.segments:
        if segment.type == PT_INTERP:
            if segment.filesz > _MAX_PATH:
                raise headers.source.error("the path of its interpreter is too long")
            data = headers.source.read(segment.offset, segment.filesz, "interpreter")
            return _text(data.partition(b"\0")[0])
    return ""


class _Dynamic:
    """The dynamic segment: numbers by tag (the last one counts, as in ld.so), and texts."""

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.source = headers.source
        self.numbers: dict[int, int] = {}
        self.needed: list[int] = []
        self._text_left = _MAX_TEXT
        self._strings: tuple[int, int] | None = None
        form = f"{headers.order}{'QQ' if headers.bits == 64 else 'II'}"
        for tag, value in struct.iter_unpack(form, self._table(struct.calcsize(form))):
            if tag == _DT_NULL:
                break
            if tag == _DT_NEEDED:
                self.needed.append(value)
            else:
                self.numbers[tag] = value

    def _table(self, entry: int) -> bytes:
        for segment in self.headers.segments:
            if segment.type == PT_DYNAMIC:
                size = segment.filesz - segment.filesz % entry
                if size > _MAX_DYNAMIC:
                    raise self.source.error("its dynamic segment is too long")
                return self.source.read(segment.offset, size, "dynamic segment")
        return b""

    def place(self, address: int, what: str) -> tuple[int, int]:
        """Return the offset in the file of an address, and how many bytes follow it there."""
        for segment in self.headers.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.filesz:
                inside = address - segment.vaddr
                return segment.offset + inside, segment.filesz - inside
        raise self.source.error(f"its {what} is in no segment")

    def string(self, index: int, limit: int) -> str:
        """Return a text of the string table; ElfError when it is not inside or too long."""
        start, size = self._string_table()
        start += index
        left = min(size - index, limit + 1)
        if left <= 0:
            raise self.source.error("a name is not inside its string table")
        text = b""
        while left > 0:
            part = self.source.read(start + len(text), min(left, 128), "string table")
            head, found, _ = part.partition(b"\0")
            text += head
            if found:
                self._text_left -= len(text) + 1
                if self._text_left < 0:
                    break
                return _text(text)
            left -= len(part)
        raise self.source.error("its names are too long or do not end")

    def _string_table(self) -> tuple[int, int]:
        if self._strings is None:
            if _DT_STRTAB not in self.numbers:
                raise self.source.error("it has no string table")
            start, size = self.place(self.numbers[_DT_STRTAB], "string table")
            size = min(size, self.numbers.get(_DT_STRSZ, 0), self.source.size - start)
            self._strings = start, size
        return self._strings

    def text(self, tag: int, limit: int = _MAX_PATH) -> str:
        """Return the text of a tag, "" without the tag."""
        return self.string(self.numbers[tag], limit) if tag in self.numbers else ""

    def folders(self, tag: int) -> tuple[str, ...]:
        """Return the folders of a search path; an empty one searches nothing."""
        text = self.text(tag, _MAX_SEARCH_PATH)
        return tuple(text.split(":")) if text else ()

    def chain(self, start: int, count: int, form: str, what: str) -> Iterator[tuple[int, ...]]:
        """Yield (offset, *fields) of records that each name the distance to the next, last."""
        form = self.headers.order + form
        size = struct.calcsize(form)
        if count > _MAX_VERSIONS:
            raise self.source.error(f"it has too many {what}")
        for _ in range(count):
            fields = struct.unpack(form, self.source.read(start, size, what))
            yield (start, *fields)
            if not fields[-1]:
                return
            start += fields[-1]

    def versions(self, tag: int, counter: int, form: str) -> Iterator[tuple[int, ...]]:
        """Yield the records of a table of versions."""
        if self.numbers.get(tag) and self.numbers.get(counter):
            start, _ = self.place(self.numbers[tag], "versions")
            yield from self.chain(start, self.numbers[counter], form, "versions")


def _version_needs(dynamic: _Dynamic) -> dict[str, tuple[str, ...]]:
    needs: dict[str, list[str]] = {}
    total = 0
    # vn_version, vn_cnt, vn_file, vn_aux, vn_next
    for start, _, count, file, first, _ in dynamic.versions(_DT_VERNEED, _DT_VERNEEDNUM, "HHIII"):
        total += count
        if total > _MAX_VERSIONS:
            raise dynamic.source.error("it has too many versions")
        names = needs.setdefault(dynamic.string(file, _MAX_PATH), [])
        # vna_hash, vna_flags, vna_other, vna_name, vna_next
        for _, _, flags, _, text, _ in dynamic.chain(start + first, count, "IHHII", "versions"):
            if not flags & _VER_FLG_WEAK:
                names.append(dynamic.string(text, _MAX_PATH))
    return {library: tuple(names) for library, names in needs.items()}


def _version_defs(dynamic: _Dynamic) -> tuple[str, ...]:
    names = []
    # vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; then vda_name, vda_next
    for start, _, flags, _, _, _, first, _ in dynamic.versions(
        _DT_VERDEF, _DT_VERDEFNUM, "HHHHIII"
    ):
        if not flags & _VER_FLG_BASE:
            for _, text, _ in dynamic.chain(start + first, 1, "II", "versions"):
                names.append(dynamic.string(text, _MAX_PATH))
    return tuple(names)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
