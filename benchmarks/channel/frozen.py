"""Take the frozen ``site`` module out of a compiled CPython.

CPython 3.11 carries a few modules of its library inside the executable, ``site`` among them. In
Debian's it is the patched one, which looks for ``dist-packages`` and would win over the restored
``lib/python3.11/site.py``. The table of frozen modules (``_PyImport_FrozenStdlib``, an array of
``struct _frozen``, see CPython's ``Include/cpython/import.h``) is searched by name, so its entry
for ``site`` is overwritten with a copy of its neighbour: then ``site`` comes from its file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.errors import ChannelError

_TABLE = "_PyImport_FrozenStdlib"
# name, code, size and is_package, get_code: four words of eight bytes.
_ENTRY = 32

_PT_LOAD, _SHT_RELA, _SHT_DYNSYM = 1, 4, 11
_RELATIVE = {8, 1027}  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE


@dataclass(frozen=True)
class Image:
    """An ELF file, addressed as it is when loaded."""

    data: bytearray
    segments: tuple[tuple[int, int, int], ...]
    # Address of a pointer that is relocated, to where its value lies in the file.
    relocations: dict[int, int]
    symbols: dict[str, int]

    def offset(self, address: int) -> int:
        """Where an address lies in the file."""
        for start, at, size in self.segments:
            if start <= address < start + size:
                return at + address - start
        raise ChannelError(f"address {address:#x} is in no segment")

    def slot(self, address: int) -> int:
        """Where the value of a pointer lies in the file: in its relocation, or in place."""
        return self.relocations.get(address) or self.offset(address)

    def word(self, address: int) -> int:
        """Return the value of a pointer."""
        value: int = struct.unpack_from("<Q", self.data, self.slot(address))[0]
        return value

    def text(self, address: int) -> str:
        """Return a C string."""
        start = self.offset(address)
        return self.data[start : self.data.index(b"\0", start)].decode()


def load(data: bytes) -> Image:
    """Read segments, relocations and dynamic symbols of a 64-bit little-endian file."""
    (phoff, shoff) = struct.unpack_from("<QQ", data, 32)
    phsize, phcount, shsize, shcount = struct.unpack_from("<HHHH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, phoff + i * phsize) for i in range(phcount)]
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shsize) for i in range(shcount)]
    relocations, symbols = {}, {}
    for _, kind, _, _, at, size, link, *_ in sections:
        if kind == _SHT_RELA:
            for entry in range(at, at + size, 24):
                address, info = struct.unpack_from("<QQ", data, entry)
                if info & 0xFFFFFFFF in _RELATIVE:
                    relocations[address] = entry + 16
        elif kind == _SHT_DYNSYM:
            strings = sections[link][4]
            for entry in range(at, at + size, 24):
                name, _, _, _, value = struct.unpack_from("<IBBHQ", data, entry)
                start = strings + name
                symbols[data[start : data.index(b"\0", start)].decode()] = value
    segments = tuple((h[3], h[2], h[5]) for h in headers if h[0] == _PT_LOAD)
    return Image(bytearray(data), segments, relocations, symbols)


def thaw(data: bytes, module: str) -> bytes:
    """Return the same program without the frozen module."""
    image = load(data)
    if _TABLE not in image.symbols:
        raise ChannelError(f"no table of frozen modules in this Python ({_TABLE})")
    table = image.word(image.symbols[_TABLE])
    names = frozen_names(image, table)
    if module not in names:
        raise ChannelError(f"{module} is not frozen in this Python")
    index = names.index(module)
    neighbour = index - 1 if index else index + 1
    for word in range(0, _ENTRY, 8):
        source = image.slot(table + neighbour * _ENTRY + word)
        target = image.slot(table + index * _ENTRY + word)
        image.data[target : target + 8] = image.data[source : source + 8]
    return bytes(image.data)


def frozen_names(image: Image, table: int) -> list[str]:
    """Return the names in the table, which ends with an empty entry."""
    names = []
    while image.word(table):
        names.append(image.text(image.word(table)))
        table += _ENTRY
    return names


def thaw_file(path: Path, module: str) -> None:
    """Rewrite a program in place."""
    path.write_bytes(thaw(path.read_bytes(), module))
