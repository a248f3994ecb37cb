"""Reading squashfs 4.0 images that others made, in bounded memory.

Format: Documentation/filesystems/squashfs.rst of the Linux kernel and fs/squashfs/
squashfs_fs.h. Own code because unsquashfs makes files by the names that the image
gives: it left its folder more than once (CVE-2021-40153, CVE-2021-41072), and its
version does not tell whether a distribution mended it. Nothing here touches the disk but
to read the image; and no tool is needed to unpack.

zlib, xz and zstd images are read, which is what mksquashfs and conda-pack make.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from slimpack.archive.items import Item, Items
from slimpack.archive.squashcodecs import block_decoder
from slimpack.errors import ArchiveError
from slimpack.oci.untar import MemberKind

_SUPER = struct.Struct("<IIIIIHHHHHHQQQQQQQQ")
_INODE = struct.Struct("<HHHHII")
_META = 8192  # bytes of a metadata block, unpacked
_STORED_META = 1 << 15
_STORED_DATA = 1 << 24
_NO_FRAGMENT = 0xFFFFFFFF
_PER_TABLE_BLOCK = _META // 16  # fragment entries
_MAX_NAME = 256
_MAX_LINK = 4096
_PADDING = 1 << 20
_CACHED_META = 256
_CACHED_FRAGMENTS = 8
_MAX_FRAGMENTS = 64 << 30  # bytes unpacked of them, those that were unpacked again included
_FOLDERS, _FILES, _LINKS = (1, 8), (2, 9), (3, 10)


@dataclass(frozen=True)
class _Inode:
    """The fields of an inode that matter, whichever of its kinds it has.

    start, offset: of a folder's listing or a file's blocks and place in its fragment.
    sizes: where the list of a file's block sizes begins.
    """

    type: int
    mode: int
    mtime: int
    size: int = 0
    start: int = 0
    offset: int = 0
    fragment: int = _NO_FRAGMENT
    sizes: tuple[int, int] = (0, 0)
    link: str = ""

    @property
    def kind(self) -> MemberKind:
        if self.type in _FOLDERS:
            return "directory"
        if self.type in _FILES:
            return "file"
        return "symlink" if self.type in _LINKS else "other"


def squashfs_items(stream: BinaryIO, what: str, *, max_members: int) -> Items:
    """Yield the members of the squashfs image `stream`, folders before what is in them.

    Hard links come as files of their own. Raises ArchiveError, naming `what`, for
    anything damaged, cut off or not supported, and for more than `max_members` members.
    """
    return _SquashReader(stream, what, max_members).items()


class _SquashReader:
    def __init__(self, stream: BinaryIO, what: str, max_members: int) -> None:
        self._stream = stream
        self._total = stream.seek(0, 2)
        self._what = what
        self._left = max_members
        self._max_members = max_members
        self._meta: OrderedDict[int, tuple[bytes, int]] = OrderedDict()
        self._fragments: OrderedDict[int, bytes] = OrderedDict()
        self._spent = 0
        fields = _SUPER.unpack(self._at(0, _SUPER.size))
        magic, _, _, self._block, self._fragment_count, codec = fields[:6]
        log, _, _, major, minor, self._root, used, _, _, inodes, folders, table, _ = fields[6:]
        if magic != 0x73717368 or (major, minor) != (4, 0):
            raise self._damaged("it is no squashfs 4.0 image")
        if not 12 <= log <= 20 or self._block != 1 << log:
            raise self._damaged("its block size is not allowed")
        self._unpack = block_decoder(codec, what)
        self._inodes, self._folders, self._table = inodes, folders, table
        self._check_end(used)

    def items(self) -> Items:
        """Walk the image from its root, depth first, every folder once."""
        seen = set[int]()
        # A listing is read on only when what it named before is done: it may be huge.
        waiting: list[Iterator[tuple[str, int]]] = [iter([("", self._root)])]
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
                continue
            path, place = found
            inode = self._inode(place)
            if inode.kind == "directory":
                if place in seen:
                    raise self._damaged(f"the folder {path[:200]!r} lies in two places")
                seen.add(place)
                waiting.append(self._listing(path, inode))
            elif not path:
                raise self._damaged("its root is no folder")
            size = inode.size if inode.kind == "file" else 0
            item = Item(path or ".", inode.kind, inode.mode, inode.mtime, size, inode.link)
            yield item, self._content(inode) if inode.kind == "file" else iter(())

    def _listing(self, path: str, folder: _Inode) -> Iterator[tuple[str, int]]:
        """Yield path and inode of each entry of the folder at `path`."""
        cursor = _Cursor(self, self._folders, folder.start, folder.offset)
        left = folder.size - 3  # it counts "." and ".."
        while left > 0:
            count, block, _ = cursor.unpack("<III")
            left -= 12
            if count > 255:
                raise self._damaged("a folder's listing is malformed")
            for _ in range(count + 1):
                offset, _, _, length = cursor.unpack("<HhHH")
                name = cursor.read(length + 1)
                left -= 8 + len(name)
                self._check_name(name)
                text = name.decode("utf-8", "surrogateescape")
                yield f"{path}/{text}" if path else text, block << 16 | offset
        if left < 0:
            raise self._damaged("a folder's listing is malformed")

    def _check_name(self, name: bytes) -> None:
        self._left -= 1
        if self._left < 0:
            raise ArchiveError(f"{self._what} has more than {self._max_members} members")
        if len(name) > _MAX_NAME or b"/" in name or name in (b".", b".."):
            raise self._damaged(f"it holds the name {name[:200]!r}, which leads elsewhere")

    def _inode(self, place: int) -> _Inode:
        cursor = _Cursor(self, self._inodes, place >> 16, place & 0xFFFF)
        kind, mode, _, _, mtime, _ = cursor.unpack(_INODE.format)
        mode &= 0o7777
        if kind == 1:
            start, _, size, offset, _ = cursor.unpack("<IIHHI")
            return _Inode(kind, mode, mtime, size, start, offset)
        if kind == 8:
            _, size, start, _, _, offset, _ = cursor.unpack("<IIIIHHI")
            return _Inode(kind, mode, mtime, size, start, offset)
        if kind == 2:
            start, fragment, offset, size = cursor.unpack("<IIII")
            return _Inode(kind, mode, mtime, size, start, offset, fragment, cursor.place)
        if kind == 9:
            start, size, _, _, fragment, offset, _ = cursor.unpack("<QQQIIII")
            return _Inode(kind, mode, mtime, size, start, offset, fragment, cursor.place)
        if kind in _LINKS:
            _, size = cursor.unpack("<II")
            if size > _MAX_LINK:
                raise self._damaged("a link's target is too long")
            target = cursor.read(size).decode("utf-8", "surrogateescape")
            return _Inode(kind, mode, mtime, link=target)
        return _Inode(kind, mode, mtime)

    def _content(self, file: _Inode) -> Iterator[bytes]:
        sizes = _Cursor(self, 0, *file.sizes)
        whole = file.fragment == _NO_FRAGMENT
        left, at = file.size, file.start
        while left >= self._block or (left and whole):
            expected = min(left, self._block)
            (stored,) = sizes.unpack("<I")
            length = stored & (_STORED_DATA - 1)
            yield self._data(at, stored, expected) if length else bytes(expected)
            at += length
            left -= expected
        if left:
            piece = self._fragment(file.fragment)[file.offset : file.offset + left]
            if len(piece) != left:
                raise self._damaged("a file's end is not where it should be")
            yield piece

    def _fragment(self, number: int) -> bytes:
        if number not in self._fragments:
            if number >= self._fragment_count:
                raise self._damaged("a file's end is not where it should be")
            pointer = self._table + number // _PER_TABLE_BLOCK * 8
            (block,) = struct.unpack("<Q", self._at(pointer, 8))
            cursor = _Cursor(self, 0, block, number % _PER_TABLE_BLOCK * 16)
            start, stored, _ = cursor.unpack("<QII")
            self._fragments[number] = data = self._data(start, stored, None)
            self._spent += len(data)
            if self._spent > _MAX_FRAGMENTS:
                raise self._damaged("its files are in hostile disorder")
            if len(self._fragments) > _CACHED_FRAGMENTS:
                self._fragments.popitem(last=False)
        return self._fragments[number]

    def _data(self, at: int, stored: int, expected: int | None) -> bytes:
        """Return one data block, of `expected` bytes if that is known."""
        length = stored & (_STORED_DATA - 1)
        if length > self._block:
            raise self._damaged("a block is too long")
        data = self._at(at, length)
        if not stored & _STORED_DATA:
            data = self._unpack(data, self._block)
        if expected is not None and len(data) != expected:
            raise self._damaged("a block has another size than it should")
        return data

    def metadata(self, at: int) -> tuple[bytes, int]:
        """Return the metadata block at `at`, unpacked, and where the next one begins."""
        found = self._meta.get(at)
        if found is None:
            (header,) = struct.unpack("<H", self._at(at, 2))
            length = header & (_STORED_META - 1)
            data = self._at(at + 2, length)
            if not header & _STORED_META:
                data = self._unpack(data, _META)
            if not 0 < len(data) <= _META:
                raise self._damaged("a metadata block has another size than it should")
            found = self._meta[at] = data, at + 2 + length
            if len(self._meta) > _CACHED_META:
                self._meta.popitem(last=False)
        return found

    def _check_end(self, used: int) -> None:
        if self._total < used:
            raise ArchiveError(f"{self._what} is cut off", hint="fetch it again")
        rest = self._total - used
        if rest > _PADDING or self._at(used, rest).strip(b"\0"):
            raise ArchiveError(f"{self._what} has data after its end")

    def _at(self, place: int, size: int) -> bytes:
        if not 0 <= place <= self._total - size:
            raise self._damaged("it points behind its end, or is cut off")
        self._stream.seek(place)
        return self._stream.read(size)

    def _damaged(self, why: str) -> ArchiveError:
        return ArchiveError(f"{self._what} is damaged: {why}", hint="fetch or make it again")


class _Cursor:
    """Reads on through metadata blocks from one place."""

    def __init__(self, reader: _SquashReader, table: int, block: int, offset: int) -> None:
        self._reader = reader
        self._block = table + block
        self._offset = offset

    @property
    def place(self) -> tuple[int, int]:
        """Block, from the beginning of the image, and offset of what comes next."""
        return self._block, self._offset

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            data, after = self._reader.metadata(self._block)
            part = data[self._offset : self._offset + size]
            self._offset += len(part)
            size -= len(part)
            parts.append(part)
            if size:
                self._block, self._offset = after, max(0, self._offset - len(data))
        return b"".join(parts)

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.read(struct.calcsize(form)))
