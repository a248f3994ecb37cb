"""Small ELF files for any class, byte order and machine, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

BASE = 0x10000  # address of the first byte of the file


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


def make_elf(
    *,
    bits: int = 64,
    order: str = "<",
    machine: int = 62,
    kind: int = 3,
    needed: Sequence[str] = (),
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    interpreter: str = "",
    flags_1: int = 0,
    needs: Mapping[str, Sequence[tuple[str, int]]] | None = None,
    defs: Sequence[str] = (),
    extra: Sequence[tuple[str, int, bytes]] = ((".debug_info", 1, b"\1" * 8192),),
    section_table: bool = True,
    data: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """Make a library. needs: library -> (version, flags). extra: (name, type, content).

    data: (name, content) of sections in memory.
    """
    word = "Q" if bits == 64 else "I"
    header, program, entry = (64, 56, 64) if bits == 64 else (52, 32, 40)
    strings = _Strings()
    dynamic = [(1, strings.add(name)) for name in needed]
    dynamic += [
        (tag, strings.add(text)) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text
    ]
    dynamic += [(0x6FFFFFFB, flags_1)] if flags_1 else []
    verneed, verdef = _needs(order, needs or {}, strings), _defs(order, defs, strings)
    place = header + program * (3 if interpreter else 2)
    parts: list[tuple[str, int, int, bytes]] = []  # name, type, offset, content

    def put(name: str, type_: int, content: bytes) -> int:
        nonlocal place
        place = -(-place // 8) * 8
        parts.append((name, type_, place, content))
        place += len(content)
        return place - len(content)

    interp = put(".interp", 1, interpreter.encode() + b"\0") if interpreter else 0
    dynamic += [(5, BASE + put(".dynstr", 3, bytes(strings.data))), (10, len(strings.data))]
    if needs:
        at = put(".gnu.version_r", 0x6FFFFFFE, verneed)
        dynamic += [(0x6FFFFFFE, BASE + at), (0x6FFFFFFF, len(needs))]
    if defs:
        at = put(".gnu.version_d", 0x6FFFFFFD, verdef)
        dynamic += [(0x6FFFFFFC, BASE + at), (0x6FFFFFFD, len(defs))]
    table = b"".join(struct.pack(f"{order}{word}{word}", *pair) for pair in [*dynamic, (0, 0)])
    dyn = put(".dynamic", 6, table)
    for name, content in data:
        put(name, 1, content)
    mapped = place
    allocated = len(parts)
    for name, type_, content in extra:
        put(name, type_, content)
    names = _Strings()
    offsets = [names.add(name) for name, *_ in parts]
    offsets.append(names.add(".shstrtab"))
    put(".shstrtab", 3, bytes(names.data))
    shoff = -(-place // 8) * 8

    def segment(type_: int, offset: int, size: int, align: int) -> bytes:
        at = BASE + offset
        if bits == 64:
            return struct.pack(f"{order}IIQQQQQQ", type_, 5, offset, at, at, size, size, align)
        return struct.pack(f"{order}8I", type_, offset, at, at, size, size, 5, align)

    segments = segment(1, 0, mapped, 4096) + segment(2, dyn, len(table), 8)
    if interpreter:
        segments += segment(3, interp, len(interpreter) + 1, 1)
    form = f"{order}II{word * 4}II{word * 2}"
    sections = bytes(entry) + b"".join(
        struct.pack(
            form,
            *(offsets[n], type_, 2 if n < allocated else 0, BASE + at if n < allocated else 0),
            *(at, len(content), 0, 0, 8, 0),
        )
        for n, (_, type_, at, content) in enumerate(parts)
    )
    count = len(parts) + 1 if section_table else 0
    ident = bytes([127, 69, 76, 70, bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = (kind, machine, 1, 0, header, shoff if count else 0, 0)
    tables = (header, program, 3 if interpreter else 2, entry, count, max(count - 1, 0))
    result = bytearray(shoff)
    result[:header] = ident + struct.pack(f"{order}HHI{word * 3}I6H", *fields, *tables)
    result[header : header + len(segments)] = segments
    for _, _, at, content in parts:
        result[at : at + len(content)] = content
    return bytes(result) + (sections if count else b"")


def _needs(order: str, needs: Mapping[str, Sequence[tuple[str, int]]], strings: _Strings) -> bytes:
    data = b""
    for n, (library, versions) in enumerate(needs.items(), 1):
        following = 0 if n == len(needs) else 16 + 16 * len(versions)
        file = strings.add(library)
        data += struct.pack(f"{order}HHIII", 1, len(versions), file, 16, following)
        for m, (version, flags) in enumerate(versions, 1):
            after = 0 if m == len(versions) else 16
            data += struct.pack(f"{order}IHHII", 0, flags, m + 1, strings.add(version), after)
    return data


def _defs(order: str, defs: Sequence[str], strings: _Strings) -> bytes:
    """The first is the base version."""
    data = b""
    for n, version in enumerate(defs, 1):
        flags, following = int(n == 1), 0 if n == len(defs) else 28
        data += struct.pack(f"{order}HHHHIII", 1, flags, n, 1, 0, 20, following)
        data += struct.pack(f"{order}II", strings.add(version), 0)
    return data
