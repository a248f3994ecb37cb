"""Containers of GPU code in ELF files, read without a tool of NVIDIA's.

nvcc puts the code of one source into a container ("fatbin"), one entry for each
architecture; the program hands its address to the driver, which takes the entry that
fits the device. The format is not documented; what follows was read off containers made
by ``fatbinary`` of CUDA 13.0 and 13.5 with known options, and holds for every container
of PyTorch 2.14, cuBLAS, cuDNN 9, cuFFT, cuSOLVER, cuSPARSE, NCCL and NVSHMEM
(``cuobjdump --list-elf`` agrees on every entry). All numbers are little-endian::

    container  u32 magic, u16 version 1, u16 size of this header 16, u64 bytes of entries
    entry      u16 kind (1 PTX, 2 cubin, 8 LTO-IR, 256 several in one), u16 version 0x101,
               u32 size of this header, u64 size of the content behind it, with padding,
               u32 compressed size, u32 place of options, u16 x 2 version of the content,
               u32 architecture (90 for 9.0), u32 x 2 place and length of its name,
               u64 flags, u64, u64 size when unpacked; then options and notes

Flags: 0x1 64 bit, 0x2 debug, 0x10 Linux, 0x2000 LZ4, 0x8000 zstd, 0x100000 variant "a",
0x200000 variant "f", 0x1000000 notes of the assembler in the header.

Containers lie in `.nv_fatbin` (addresses in `.nvFatBinSegment`), `__nv_relfatbin` (code
that is linked when it is loaded), `.cask_resource` (cuBLASLt, cuDNN) or plain data (cuFFT,
cuRAND), so that they are looked for in all data of a file. In the libraries named above
no relocation leads into a container: all that is known of one is where it starts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from slimpack.cuda.arch import Arch, Variant
from slimpack.elf.headers import Source

MAGIC = b"\x50\xed\x55\xba"
HEADER = struct.Struct("<4sHHQ")
PTX, CUBIN = 1, 2

_ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
_ENTRY_VERSION = 0x101
_MAX_ENTRY_HEADER = 64 * 1024
_MAX_ENTRIES = 1024
_VARIANTS: dict[int, Variant] = {0: "", 0x100000: "a", 0x200000: "f"}
_VARIANT_FLAGS = 0x300000
_KNOWN_FLAGS = 0x1 | 0x2 | 0x10 | 0x2000 | 0x8000 | _VARIANT_FLAGS | 0x1000000
_ALIGN = 8
_FIRST_LOOK = 512
"""Bytes: behind a container the next one is near; only where none is, reads get longer."""
_CHUNK = 1024 * 1024
_MAX_BROKEN = 64
_MAX_CONTAINERS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of GPU code. offset: of its header in the file; size: with its header.

    arch: None when kind, flags or variant are unknown, so that nothing is known of it.
    """

    offset: int
    size: int
    kind: int
    arch: Arch | None

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Container:
    """A container whose entries fill it exactly. offset: of its header in the file."""

    offset: int
    entries: tuple[Entry, ...]

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.entries[-1].end if self.entries else self.offset + HEADER.size

    @property
    def known(self) -> bool:
        """Whether everything in it is understood."""
        return all(entry.arch for entry in self.entries)


def find_containers(source: Source, start: int, end: int) -> Iterator[Container]:
    """Yield the containers between two offsets, in their order.

    What starts like one and does not add up is passed over. Raises ElfError when there
    is so much of that, or of containers, that the file is not what it seems, and when a
    byte between the offsets is not inside the file.
    """
    broken = found = 0
    place = _next_magic(source, start, end)
    while place is not None:
        container = _container(source, place, end)
        if container is None:
            broken += 1
            place = _next_magic(source, place + _ALIGN, end)
        else:
            found += 1
            yield container
            place = _next_magic(source, container.end, end)
        if broken > _MAX_BROKEN or found > _MAX_CONTAINERS:
            raise source.error("its containers of GPU code are too many or do not add up")


def _next_magic(source: Source, start: int, end: int) -> int | None:
    """Return the next offset, a multiple of 8, at which a container may start."""
    start = -(-start // _ALIGN) * _ALIGN
    length = _FIRST_LOOK
    while start < end:
        data = source.read(start, min(length, end - start), "data")
        place = data.find(MAGIC)
        while place >= 0:
            if place % _ALIGN == 0:
                return start + place
            place = data.find(MAGIC, place + 1)
        start += length
        length = min(2 * length, _CHUNK)
    return None


def _container(source: Source, offset: int, limit: int) -> Container | None:
    """Read a container that ends before `limit`; None when it does not add up."""
    if offset + HEADER.size > limit:
        return None
    _, version, header, size = HEADER.unpack(source.read(offset, HEADER.size, "container"))
    place = offset + HEADER.size
    end = place + size
    if version != 1 or header != HEADER.size or end > limit or size % _ALIGN:
        return None
    entries: list[Entry] = []
    while place < end:
        entry = _entry(source, place, end)
        if entry is None or len(entries) == _MAX_ENTRIES:
            return None
        entries.append(entry)
        place = entry.end
    return Container(offset, tuple(entries))


def _entry(source: Source, offset: int, limit: int) -> Entry | None:
    if offset + _ENTRY.size > limit:
        return None
    fields = _ENTRY.unpack(source.read(offset, _ENTRY.size, "entry"))
    kind, version, header, size, packed, _, _, _, number, _, _, flags, _, _ = fields
    whole = header + size
    if not _ENTRY.size <= header <= _MAX_ENTRY_HEADER or whole % _ALIGN or offset + whole > limit:
        return None
    variant = _VARIANTS.get(flags & _VARIANT_FLAGS)
    known = (
        kind in (PTX, CUBIN)
        and version == _ENTRY_VERSION
        and packed <= size
        and not flags & ~_KNOWN_FLAGS
        and 10 <= number < 1000
    )
    arch = Arch(number, variant) if known and variant is not None else None
    return Entry(offset, whole, kind, arch)
