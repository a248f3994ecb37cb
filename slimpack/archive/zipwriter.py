"""A zip writer whose bytes depend on the members alone, and that deflates in threads.

Format: PKWARE's APPNOTE.TXT 6.3.9, with zip64 records where sizes need them, and
Info-ZIP's extra field 0x5455 for the time in UTC (a zip's own dates are local time,
of two seconds). The standard library's zipfile deflates in one thread and offers no
place for data that was deflated elsewhere; it writes the same records otherwise.

Members are deflated in blocks of 1 MiB, each primed with the 32 KiB before it. A
member of one block has its sizes in its header from the beginning; that of a bigger
one is written again when they are known, so that no data descriptor, which some
readers do not know, is needed.
"""

from __future__ import annotations

import stat
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from slimpack.archive.blocks import InOrder
from slimpack.oci.digest import CHUNK
from slimpack.oci.gzipped import deflate
from slimpack.oci.tar import Advance, content
from slimpack.tree import Entry, Kind

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<IIQI")
_TYPES = {Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK}
_STORED, _DEFLATED = 0, 8
_UTF8 = 1 << 11
_UNIX = 3 << 8
_DOS_FOLDER = 0x10
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
# Deflate makes nothing bigger by more than a thousandth: below this, both sizes fit 32 bits.
_BIG = 0xF0000000
_DOS_FIRST, _DOS_LAST = 315532800, 4354819198  # 1980 to 2107, what a zip's date can say


@dataclass
class _Member:
    entry: Entry
    method: int
    offset: int = 0
    packed: int = 0
    crc: int = 0

    @property
    def big(self) -> bool:
        return self.entry.size >= _BIG

    @property
    def size(self) -> int:
        if self.entry.kind is Kind.SYMLINK:
            return len(self.entry.link.encode())
        return self.entry.size

    @property
    def name(self) -> bytes:
        return self.entry.path.encode() + (b"/" if self.entry.kind is Kind.DIRECTORY else b"")


@dataclass(frozen=True)
class _Piece:
    """A part of a member's data, as it is in the archive."""

    member: _Member
    data: bytes
    first: bool
    last: bool
    crc: int  # of the content up to here


def write_zip(
    members: Iterable[Entry],
    out: BinaryIO,
    *,
    mtime: int,
    level: int,
    threads: int,
    advance: Advance | None = None,
) -> None:
    """Write `members` in their order to `out`, a file that can seek, from its beginning.

    mtime: seconds since the epoch, for every member; before 1980 or after 2107 the
    nearest date that a zip can say. level: 0 (stored) to 9. advance: called with the
    bytes of files just taken. Memory is bounded by the number of threads. Raises
    ImageError for content that cannot be read or has not the size it should.
    """
    writer = _ZipWriter(out, mtime)
    jobs: InOrder[_Piece] = InOrder(threads, writer.take)
    with closing(jobs):
        for entry in members:
            member = _Member(entry, _DEFLATED if level and entry.size else _STORED)
            for first, last, block, before, crc in _blocks(entry):
                jobs.submit(partial(_piece, member, first, last, block, before, crc, level))
                if advance is not None and entry.size:
                    advance(len(block))
        jobs.finish()
    writer.finish()


def _piece(
    member: _Member, first: bool, last: bool, block: bytes, before: bytes, crc: int, level: int
) -> _Piece:
    data = deflate(block, before, level, last) if member.method == _DEFLATED else block
    return _Piece(member, data, first, last, crc)


def _blocks(entry: Entry) -> Iterator[tuple[bool, bool, bytes, bytes, int]]:
    """Yield first, last, block, what was before it and the checksum so far; one at least."""
    before, crc, left = b"", 0, entry.size
    for block in _cut(entry):
        left -= len(block) if entry.size else 0
        crc = zlib.crc32(block, crc)
        yield not before, left == 0, block, before, crc
        before = block[-(32 << 10) :]


def _cut(entry: Entry) -> Iterator[bytes]:
    """Yield the content in blocks of exactly 1 MiB, the last one shorter."""
    if not entry.size:
        yield entry.link.encode()
        return
    block = bytearray()
    for data in content(entry):
        block += data
        while len(block) >= CHUNK:
            yield bytes(block[:CHUNK])
            del block[:CHUNK]
    if block:
        yield bytes(block)


class _ZipWriter:
    def __init__(self, out: BinaryIO, mtime: int) -> None:
        self._out = out
        self._at = 0
        self._members: list[_Member] = []
        self._mtime = mtime
        moment = time.gmtime(min(max(mtime, _DOS_FIRST), _DOS_LAST))
        self._date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
        self._time = moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2

    def take(self, piece: _Piece) -> None:
        member = piece.member
        member.packed += len(piece.data)
        member.crc = piece.crc
        if piece.first:
            member.offset = self._at
            self._write(self._local(member))
            self._members.append(member)
        self._write(piece.data)
        if piece.last and not piece.first:
            self._out.seek(member.offset)
            self._out.write(self._local(member))
            self._out.seek(self._at)

    def finish(self) -> None:
        start, number = self._at, len(self._members)
        for member in self._members:
            self._write(self._central(member))
        size = self._at - start
        if number >= _MAX16 or start >= _MAX32 or size >= _MAX32:
            end64 = self._at
            self._write(
                _END64.pack(0x06064B50, 44, _UNIX | 45, 45, 0, 0, number, number, size, start)
            )
            self._write(_LOCATOR64.pack(0x07064B50, 0, end64, 1))
        number = min(number, _MAX16)
        self._write(
            _END.pack(0x06054B50, 0, 0, number, number, min(size, _MAX32), min(start, _MAX32), 0)
        )

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._at += len(data)

    def _local(self, member: _Member) -> bytes:
        name, extra = member.name, self._time_field()
        sizes = (member.packed, member.size)
        if member.big:
            extra = struct.pack("<HHQQ", 1, 16, sizes[1], sizes[0]) + extra
            sizes = (_MAX32, _MAX32)
        fields = (*self._common(member), member.crc, *sizes)
        return _LOCAL.pack(0x04034B50, *fields, len(name), len(extra)) + name + extra

    def _central(self, member: _Member) -> bytes:
        name, offset, sizes = member.name, member.offset, (member.packed, member.size)
        wide = b""
        if member.big:
            wide, sizes = struct.pack("<QQ", member.size, member.packed), (_MAX32, _MAX32)
        if offset >= _MAX32:
            wide, offset = wide + struct.pack("<Q", offset), _MAX32
        extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        extra += self._time_field()
        entry = member.entry
        attributes = (_TYPES[entry.kind] | entry.mode & 0o7777) << 16
        attributes |= _DOS_FOLDER if entry.kind is Kind.DIRECTORY else 0
        made = _UNIX | (45 if wide else 20)
        fields = (*self._common(member, wide=bool(wide)), member.crc, *sizes)
        rest = (len(name), len(extra), 0, 0, 0, attributes, offset)
        return _CENTRAL.pack(0x02014B50, made, *fields, *rest) + name + extra

    def _common(self, member: _Member, *, wide: bool = False) -> tuple[int, int, int, int, int]:
        needed = 45 if member.big or wide else 20
        flags = 0 if member.name.isascii() else _UTF8
        return needed, flags, member.method, self._time, self._date

    def _time_field(self) -> bytes:
        if self._mtime >= 1 << 31:
            return b""
        return struct.pack("<HHBI", 0x5455, 5, 1, self._mtime)
