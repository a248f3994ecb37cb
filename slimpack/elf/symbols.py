"""The column of a .symtab that names sections by index (System V ABI, "Symbol Table")."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence

from slimpack.elf.headers import SHN_LORESERVE, Headers, Section

_XINDEX = 0xFFFF
_MAX_TABLE = 128 * 1024 * 1024
"""Bytes of a table that is held in memory; the largest seen (libtorch) has 13 MB."""


def without_sections(
    headers: Headers, section: Section, numbers: Sequence[int]
) -> tuple[bytes | None, int] | None:
    """Rewrite a symbol table after sections went or got other indices.

    numbers: the new index of each section, -1 for one that is gone; symbols of such go.
    Returns the new table (None when no symbol is concerned) and its number of local
    symbols; None altogether when the table is not one that can be rewritten.
    Raises ElfError when it is not inside the file.
    """
    size, column = (24, 3) if headers.bits == 64 else (16, 7)
    if section.entsize != size or section.size % size or section.size > _MAX_TABLE:
        return None
    data = headers.source.read(section.offset, section.size, "symbols")
    halves = array("H", data)
    if headers.order != ("<" if sys.byteorder == "little" else ">"):
        halves.byteswap()
    indices = halves[column :: size // 2]
    used = set(indices)
    if _XINDEX in used or any(len(numbers) <= n < SHN_LORESERVE for n in used):
        return None
    changed = {n for n in used if n < SHN_LORESERVE and numbers[n] != n}
    if not changed:
        return None, section.info
    table = bytearray(data)
    gone = []
    for symbol, n in enumerate(indices):
        if n in changed:
            if numbers[n] < 0:
                gone.append(symbol)
            else:
                struct.pack_into(f"{headers.order}H", table, symbol * size + column * 2, numbers[n])
    kept = bytearray()
    start = 0
    for symbol in gone:
        kept += table[start * size : symbol * size]
        start = symbol + 1
    kept += table[start * size :]
    return bytes(kept), section.info - sum(symbol < section.info for symbol in gone)
