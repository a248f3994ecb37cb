"""Reading zip archives that others wrote: strict, bounded, nothing believed twice.

Format: PKWARE's APPNOTE.TXT 6.3.9 with zip64; Info-ZIP's field 0x5455 for times.
Own code because the standard library's zipfile reads the whole directory into
memory, takes data before and after an archive, and says nothing of members that
overlap (before Python 3.13). Members are stored or deflated; whatever else a zip may be
(encrypted, split, in other compressions) is refused.
"""

from __future__ import annotations

import calendar
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from slimpack.archive.items import Item, Items
from slimpack.errors import ArchiveError
from slimpack.oci.digest import CHUNK
from slimpack.oci.untar import MemberKind

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<IIQI")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_MAX_COMMENT = 0xFFFF
_MAX_NAME = 4096
_PIECE = 64 << 10
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UNIX = (3, 19)  # Unix, macOS
_DOS_FOLDER = 0x10
_TYPES: dict[int, MemberKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}


@dataclass(frozen=True, slots=True)
class _Record:
    """One entry of the central directory."""

    name: bytes
    made_by: int
    flags: int
    method: int
    date: int
    time: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    utc: int | None

    @property
    def text(self) -> str:
        # Without its flag a name is in the code page of some machine; if it is
        # not UTF-8 either, nobody can tell, and the guard refuses it.
        return self.name.decode("utf-8", "surrogateescape")


def zip_items(stream: BinaryIO, what: str, *, max_members: int) -> Items:
    """Yield the members of the zip archive `stream`, in the order of their data.

    Raises ArchiveError, naming `what` and the member, for anything that is damaged, cut
    off, hostile or not supported, and for more than `max_members` members.
    """
    return _ZipReader(stream, what, max_members).items()


class _ZipReader:
    def __init__(self, stream: BinaryIO, what: str, max_members: int) -> None:
        self._stream = stream
        self._what = what
        self._max_members = max_members
        self._total = stream.seek(0, 2)

    def items(self) -> Items:
        start, size, number = self._directory()
        if number > self._max_members:
            raise ArchiveError(f"{self._what} has more than {self._max_members} members")
        records = sorted(self._records(start, size, number), key=lambda record: record.offset)
        ends = [*(record.offset for record in records[1:]), start]
        for record, end in zip(records, ends, strict=False):
            kind, mode = self._kind(record)
            content = self._content(record, end)
            link = ""
            if kind == "symlink":
                link = self._link(record, content)
            elif kind == "directory" and record.size:
                raise self._refusal(record, "is a folder with content")
            size = record.size if kind == "file" else 0
            yield Item(record.text, kind, mode, _mtime(record), size, link), content

    def _directory(self) -> tuple[int, int, int]:
        """Return where the central directory begins, its bytes and its number of entries."""
        tail_at = max(0, self._total - _END.size - _MAX_COMMENT)
        tail = self._at(tail_at, self._total - tail_at)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            raise ArchiveError(f"{self._what} is no zip archive, or is cut off")
        _, disk, first, here, number, size, start, comment = _END.unpack_from(tail, found)
        if found + _END.size + comment != len(tail):
            raise ArchiveError(f"{self._what} has data after its end")
        end = tail_at + found
        # 65535 may mean itself: then there is no zip64 record.
        if _MAX32 in (size, start) or (number == _MAX16 and self._has_locator(end)):
            end, disk, first, here, number, size, start = self._end64(end)
        if disk or first or here != number:
            raise ArchiveError(f"{self._what} is a part of a split archive")
        if start + size != end:
            raise ArchiveError(f"{self._what} is damaged: its directory is not where it should be")
        return start, size, number

    def _has_locator(self, end: int) -> bool:
        place = end - _LOCATOR64.size
        return place >= 0 and self._at(place, 4) == b"PK\6\7"

    def _end64(self, end: int) -> tuple[int, int, int, int, int, int, int]:
        place = end - _LOCATOR64.size
        magic, _, at, _ = _LOCATOR64.unpack(self._at(place, _LOCATOR64.size))
        if magic != 0x07064B50:
            raise ArchiveError(f"{self._what} is damaged: it has no zip64 record")
        fields = _END64.unpack(self._at(at, _END64.size))
        magic, length, _, _, disk, first, here, number, size, start = fields
        if magic != 0x06064B50 or at + 12 + length != place:
            raise ArchiveError(f"{self._what} is damaged: its zip64 record is not where it should")
        return at, disk, first, here, number, size, start

    def _records(self, start: int, size: int, number: int) -> Iterator[_Record]:
        at = start
        for _ in range(number):
            fields = _CENTRAL.unpack(self._at(at, _CENTRAL.size))
            name, extra, comment = fields[10:13]
            if fields[0] != 0x02014B50:
                raise ArchiveError(f"{self._what} is damaged: no directory entry at {at}")
            if name > _MAX_NAME:
                raise ArchiveError(f"{self._what} has a member whose name is too long")
            yield self._record(fields, self._at(at + _CENTRAL.size, name + extra))
            at += _CENTRAL.size + name + extra + comment
        if at != start + size:
            raise ArchiveError(f"{self._what} is damaged: its directory has another size")

    def _record(self, fields: Sequence[int], data: bytes) -> _Record:
        _, made, _, flags, method, time, date, crc, packed, size, length = fields[:11]
        offset = fields[16]
        extra = dict(_extra(data[length:]))
        wide = extra.get(1, b"")
        # The zip64 field holds just those values that do not fit, in this order.
        values = []
        for value in (size, packed, offset):
            if value == _MAX32 and len(wide) >= 8:
                value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
            values.append(value)
        stamp = extra.get(0x5455, b"")
        utc = int.from_bytes(stamp[1:5], "little") if len(stamp) >= 5 and stamp[0] & 1 else None
        return _Record(
            name=data[:length],
            made_by=made >> 8,
            flags=flags,
            method=method,
            date=date,
            time=time,
            crc=crc,
            packed=values[1],
            size=values[0],
            attributes=fields[15],
            offset=values[2],
            utc=utc,
        )

    def _kind(self, record: _Record) -> tuple[MemberKind, int]:
        mode = record.attributes >> 16 if record.made_by in _UNIX else 0
        if stat.S_IFMT(mode):
            return _TYPES.get(stat.S_IFMT(mode), "other"), stat.S_IMODE(mode)
        folder = record.name.endswith(b"/") or record.attributes & _DOS_FOLDER
        return ("directory" if folder else "file"), stat.S_IMODE(mode) or 0o644

    def _content(self, record: _Record, end: int) -> Iterator[bytes]:
        """Yield the checked content of a member whose data ends at `end` at the latest."""
        at = self._begin(record)
        if at + record.packed > end:
            raise self._refusal(record, "overlaps what comes after it")
        crc, size = 0, 0
        for data in self._unpacked(record, at):
            size += len(data)
            if size > record.size:
                break
            crc = zlib.crc32(data, crc)
            yield data
        if size != record.size:
            raise self._refusal(record, f"has not the {record.size} bytes that it declares")
        if crc != record.crc:
            raise self._refusal(record, "does not match its checksum")

    def _begin(self, record: _Record) -> int:
        """Return where the data of a member begins, after its own header."""
        fields: Sequence[int] = _LOCAL.unpack(self._at(record.offset, _LOCAL.size))
        name, extra = fields[9:11]
        own = self._at(record.offset + _LOCAL.size, name) if name == len(record.name) else b""
        if fields[0] != 0x04034B50 or own != record.name or fields[3] != record.method:
            raise self._refusal(record, "has a header that contradicts the directory")
        if (fields[2] | record.flags) & _ENCRYPTED:
            raise self._refusal(record, "is encrypted, which is not supported")
        return record.offset + _LOCAL.size + name + extra

    def _unpacked(self, record: _Record, at: int) -> Iterator[bytes]:
        packed = self._packed(at, record.packed)
        if record.method == 0:
            yield from packed
        elif record.method == 8:
            yield from self._inflated(record, packed)
        else:
            raise self._refusal(record, f"has the unsupported compression {record.method}")

    def _inflated(self, record: _Record, packed: Iterator[bytes]) -> Iterator[bytes]:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for data in packed:
                rest = data
                while rest and not decoder.eof:
                    yield decoder.decompress(rest, CHUNK)
                    rest = decoder.unconsumed_tail
                if decoder.eof:
                    break
            yield decoder.flush()
        except zlib.error as error:
            raise self._refusal(record, f"is damaged: {error}") from error
        if not decoder.eof or decoder.unused_data or next(packed, b""):
            raise self._refusal(record, "does not end where its data does")

    def _packed(self, at: int, size: int) -> Iterator[bytes]:
        while size:
            data = self._at(at, min(size, _PIECE))
            yield data
            at += len(data)
            size -= len(data)

    def _link(self, record: _Record, content: Iterator[bytes]) -> str:
        if record.size > _MAX_NAME:
            raise self._refusal(record, "is a link with a target that is too long")
        return b"".join(content).decode("utf-8", "surrogateescape")

    def _at(self, place: int, size: int) -> bytes:
        if not 0 <= place <= self._total - size:
            raise ArchiveError(f"{self._what} is damaged or cut off")
        self._stream.seek(place)
        return self._stream.read(size)

    def _refusal(self, record: _Record, why: str) -> ArchiveError:
        return ArchiveError(
            f"{self._what}: {record.text[:200]!r} {why}", hint="the archive is damaged or hostile"
        )


def _extra(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        key, size = struct.unpack_from("<HH", data)
        yield key, data[4 : 4 + size]
        data = data[4 + size :]


def _mtime(record: _Record) -> int:
    """Return the time in UTC; a date alone is that of an unknown zone, taken for UTC."""
    if record.utc is not None:
        return record.utc
    date, time = record.date, record.time
    moment = (
        *((date >> 9) + 1980, date >> 5 & 15, date & 31),
        *(time >> 11, time >> 5 & 63, (time & 31) * 2),
    )
    try:
        return calendar.timegm(moment)
    except ValueError:  # month 0 or 13
        return 0
