"""A tar writer whose bytes depend on the entries alone.

Format: POSIX.1-2001 pax interchange, of which plain ustar headers are used
wherever they can hold the entry; a pax record is written only for a path, a
link target, a size or an owner that ustar cannot express. No user names, no
access times, two zero blocks at the end and no padding after.

The order is fixed and made for the compressor, which finds again what is near: folders,
then files folder by folder with bytecode behind its source, whose names and texts it
repeats, then programs and libraries, which have nothing in common with those, then hard
links. Sorted by path, layers of an environment are 1 to 2 % larger.

Directories above an entry are part of every layer, so that an engine never
invents them: as given by an entry of their own (``tmp`` with mode 1777), else
0755 and owned by root.

A hard link names a regular file of the same archive, and comes after all of them, because
readers of a stream link to what they have already placed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

from slimpack.errors import ImageError
from slimpack.oci.digest import CHUNK, Writable
from slimpack.tree import Entry, Kind, directory_entry, may_be_elf

BLOCK = 512
END = bytes(2 * BLOCK)
"""The two zero blocks that close an archive."""

FORMAT = 1
"""Raised whenever the same entries give other bytes: headers, order, added parents.

Layers are known again by it (`slimpack.cache.record`), without a look at their bytes.
"""

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_MAX_OCTAL_11 = 8**11 - 1  # size and mtime: 8 GiB
_MAX_OCTAL_7 = 8**7 - 1  # uid and gid
_TYPES = {Kind.FILE: b"0", Kind.HARDLINK: b"1", Kind.SYMLINK: b"2", Kind.DIRECTORY: b"5"}

Advance = Callable[[int], object]
"""Called with the number of tar bytes that were just written."""


def write_tar(
    entries: Iterable[Entry], out: Writable, *, mtime: int, advance: Advance | None = None
) -> int:
    """Write `entries` and the directories above them to `out`; return the bytes written.

    mtime: seconds since the epoch, the same for every member.
    Content is streamed in pieces of 1 MiB. Raises ImageError, naming the path,
    for two entries of one path, for an entry below a file, for a hard link to
    anything but a file before it, and for content that cannot be read or is not
    exactly `Entry.size` bytes long.
    """
    total = 0
    for data in tar_chunks(with_parents(entries), mtime=mtime):
        out.write(data)
        total += len(data)
        if advance is not None:
            advance(len(data))
    return total


def tar_chunks(members: Iterable[Entry], *, mtime: int) -> Iterator[bytes]:
    """Yield an archive of exactly `members`, in their order, in pieces of 1 MiB or a little more.

    Raises ImageError as `write_tar` does, but neither sorts nor adds anything.
    """
    check_time(mtime)
    pending: list[bytes] = []
    waiting = 0
    for entry in members:
        pending.append(tar_header(entry, mtime))
        waiting += len(pending[-1])
        if not entry.size:
            continue
        for data in content(entry):
            pending.append(data)
            waiting += len(data)
            if waiting >= CHUNK:
                yield b"".join(pending)
                pending, waiting = [], 0
        pending.append(bytes(-entry.size % BLOCK))
        waiting += len(pending[-1])
    pending.append(END)
    yield b"".join(pending)


def check_time(mtime: int) -> int:
    """Return seconds since the epoch that a header can hold; raise ImageError for others."""
    if not 0 <= mtime <= _MAX_OCTAL_11:
        raise ImageError(f"a tar archive cannot hold the time {mtime}")
    return mtime


def tar_size(entries: Iterable[Entry]) -> int:
    """Return exactly how many bytes `write_tar` will write, without reading any content."""
    return len(END) + sum(map(member_size, with_parents(entries)))


def member_size(entry: Entry) -> int:
    """Return how many bytes of an archive `entry` takes: headers, content and padding."""
    pax = _pax_records(entry)
    size = BLOCK + entry.size + -entry.size % BLOCK
    return size + (BLOCK + len(pax) + -len(pax) % BLOCK if pax else 0)


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Return the members of an archive of `entries`: missing parents added, in order.

    Raises ImageError for two entries of one path, for an entry that lies below
    something that is not a directory, and for a hard link whose target is not among
    `entries` or is no regular file of the same mode and owner.
    """
    members: dict[str, Entry] = {}
    for entry in entries:
        if entry.path in members:
            raise ImageError(f"two entries of one layer claim {entry.path}")
        members[entry.path] = entry
    known: set[str] = {""}
    for path in list(members):
        above = path.rpartition("/")[0]
        while above not in known:
            known.add(above)
            parent = members.setdefault(above, directory_entry(above))
            if parent.kind is not Kind.DIRECTORY:
                raise ImageError(f"{path} lies below {above}, a {parent.kind.value}")
            above = above.rpartition("/")[0]
    for entry in members.values():
        if entry.kind is Kind.HARDLINK:
            _check_hardlink(entry, members.get(entry.link))
    return sorted(members.values(), key=_place)


def _place(entry: Entry) -> tuple[int, str, str, str]:
    """Return what members are sorted by."""
    if entry.kind is Kind.DIRECTORY:
        return 0, "", "", entry.path
    if entry.kind is Kind.HARDLINK:
        return 3, "", "", entry.path
    if entry.kind is Kind.FILE and may_be_elf(entry.path, entry.mode):
        return 2, "", "", entry.path
    folder, _, name = entry.path.rpartition("/")
    home, _, last = folder.rpartition("/")
    if last == "__pycache__":
        # "a.cpython-311.pyc" behind "a.py"
        return 1, home, f"{name.partition('.')[0]}.py", entry.path
    return 1, folder, name, ""


def _check_hardlink(entry: Entry, target: Entry | None) -> None:
    what = f"{entry.path} is a hard link to {entry.link}"
    if target is None:
        raise ImageError(f"{what}, which is not in the same layer")
    if target.kind is not Kind.FILE:
        raise ImageError(f"{what}, a {target.kind.value}")
    if (target.mode, target.uid, target.gid) != (entry.mode, entry.uid, entry.gid):
        raise ImageError(f"{what}, which has another mode or owner")


def tar_header(entry: Entry, mtime: int) -> bytes:
    """Return the header blocks of one member: pax records if it needs any, then ustar."""
    path, link = _names(entry)
    pax = _pax_records(entry)
    header = _header(
        path, link, _TYPES[entry.kind], entry.mode & 0o7777, entry.uid, entry.gid, entry.size, mtime
    )
    if not pax:
        return header
    first = _header(b"././@PaxHeader", b"", b"x", 0o644, 0, 0, len(pax), mtime)
    return first + pax + bytes(-len(pax) % BLOCK) + header


def _header(
    path: bytes, link: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, mtime: int
) -> bytes:
    # What does not fit was said in a pax record; the field then holds a harmless rest.
    prefix, name = _split(path) or (b"", _ascii(path))
    fields = (
        name[:100],
        b"%07o\0" % mode,
        b"%07o\0" % (uid if uid <= _MAX_OCTAL_7 else 0),
        b"%07o\0" % (gid if gid <= _MAX_OCTAL_7 else 0),
        b"%011o\0" % (size if size <= _MAX_OCTAL_11 else 0),
        b"%011o\0" % mtime,
    )
    rest = (kind, _ascii(link)[:100], b"ustar\x0000", b"", b"", b"0000000\0", b"0000000\0", prefix)
    checksum = sum(_HEADER.pack(*fields, b" " * 8, *rest))
    return _HEADER.pack(*fields, b"%06o\0 " % checksum, *rest)


def _names(entry: Entry) -> tuple[bytes, bytes]:
    path = entry.path.encode("utf-8", "surrogateescape")
    if entry.kind is Kind.DIRECTORY:
        path += b"/"
    return path, entry.link.encode("utf-8", "surrogateescape")


def _ascii(name: bytes) -> bytes:
    return name if name.isascii() else name.decode("utf-8", "replace").encode("ascii", "replace")


def _split(path: bytes) -> tuple[bytes, bytes] | None:
    """Split an ASCII path into ustar's prefix and name fields; None when it does not fit."""
    if not path.isascii():
        return None
    if len(path) <= 100:
        return b"", path
    slash = path.find(b"/", len(path) - 101, -1)
    return (path[:slash], path[slash + 1 :]) if 0 < slash <= 155 else None


def _pax_records(entry: Entry) -> bytes:
    path, link = _names(entry)
    records: dict[bytes, bytes] = {}
    if entry.gid > _MAX_OCTAL_7:
        records[b"gid"] = b"%d" % entry.gid
    if len(link) > 100 or not link.isascii():
        records[b"linkpath"] = link
    if _split(path) is None:
        records[b"path"] = path
    if entry.size > _MAX_OCTAL_11:
        records[b"size"] = b"%d" % entry.size
    if entry.uid > _MAX_OCTAL_7:
        records[b"uid"] = b"%d" % entry.uid
    if not records:
        return b""
    if not _is_utf8(path) or not _is_utf8(link):
        records[b"hdrcharset"] = b"BINARY"
    return b"".join(_pax_record(key, records[key]) for key in sorted(records))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _pax_record(key: bytes, value: bytes) -> bytes:
    """Format ``<length> <key>=<value>`` and a newline; the length counts its own digits."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    if length < len(rest) + len(str(length)):
        length += 1
    return b"%d%b" % (length, rest)


def content(entry: Entry) -> Iterator[bytes]:
    """Yield exactly `Entry.size` bytes, in pieces of 1 MiB at most; raise ImageError otherwise."""
    remaining = entry.size
    try:
        stream = entry.open()
    except OSError as error:
        raise _unreadable(entry, error) from error
    with stream:
        while remaining:
            data = _read(entry, stream.read, min(CHUNK, remaining))
            if not data:
                raise ImageError(
                    f"{entry.path} ended {remaining} bytes before its {entry.size} bytes",
                    hint="the file changed while it was read; run again",
                )
            yield data
            remaining -= len(data)
        if _read(entry, stream.read, 1):
            raise ImageError(
                f"{entry.path} has more than its {entry.size} bytes",
                hint="the file changed while it was read; run again",
            )


def _read(entry: Entry, read: Callable[[int], bytes], size: int) -> bytes:
    try:
        return read(size)
    except OSError as error:
        raise _unreadable(entry, error) from error


def _unreadable(entry: Entry, error: OSError) -> ImageError:
    return ImageError(f"cannot read the content of {entry.path}: {error.strerror or error}")
