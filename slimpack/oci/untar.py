"""A tar reader for archives that others wrote: bounded, strict, one pass.

Formats: ustar, POSIX.1-2001 pax (path, linkpath, size, uid, gid) and GNU (long
names, base-256 numbers). Nothing is ever extracted. Names come out relative and
normal, or the archive is refused. Own code because the standard library's
reader has no bound on header sizes and is several times slower on a stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from slimpack.errors import ImageError
from slimpack.oci.digest import CHUNK, ByteStream
from slimpack.oci.tar import BLOCK

MemberKind = Literal["file", "directory", "symlink", "hardlink", "other"]

MAX_MEMBERS = 2_000_000
_MAX_EXTRA = 1 << 20  # bytes of a pax header or a GNU long name
_MAX_PATH = 4096  # Linux has no longer ones (PATH_MAX)
_KINDS: dict[bytes, MemberKind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "other",
    b"4": "other",
    b"5": "directory",
    b"6": "other",
}
_PAX_KEYS = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
_MAX_HEADERS = 8  # extended ones before a member: writers make two at most
_WITHOUT_CONTENT = ("directory", "symlink", "hardlink", "other")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive.

    path: relative and normal (``etc/passwd``), "" for the root itself.
    offset: where its content begins, in bytes from the start of the archive.
    size: bytes of content; 0 for all but files.
    link: target of a symlink as stored, of a hard link as a normal path.
    mtime: whole seconds since the epoch; 0 for what is no number.
    name: the path as stored (``./etc/passwd``, ``/etc/passwd``).
    """

    path: str
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    size: int
    offset: int
    link: str = ""
    mtime: int = 0
    name: str = ""


class TarReader:
    """Iterates over the members of `stream`; the content of the current one can be read.

    what: names the archive in messages.
    skip: jumps over up to that many bytes of `stream` and returns how many there
        were; without it they are read.
    """

    def __init__(
        self, stream: ByteStream, what: str, *, skip: Callable[[int], int] | None = None
    ) -> None:
        self._stream = stream
        self._jump = skip
        self._piece = BLOCK if skip else CHUNK  # read no further than needed if one can jump
        self._what = what
        self._buffer = b""
        self._at = 0  # in the buffer
        self._position = 0  # in the archive
        self._left = 0  # bytes of the current member's content and padding
        self._content = 0  # bytes of the current member's content
        self._ended = False  # whether the archive said so itself

    def __iter__(self) -> Iterator[Member]:
        """Yield each member. Raises ImageError for anything malformed or too large."""
        for _ in range(MAX_MEMBERS):
            self._skip(self._left)
            self._left = self._content = 0
            member = self._next()
            if member is None:
                return
            self._content = member.size
            self._left = member.size + -member.size % BLOCK
            yield member
        raise ImageError(f"{self._what} has more than {MAX_MEMBERS} members")

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the current member's content, b"" at its end."""
        size = min(size, self._content)
        data = self._exactly(size)
        self._content -= size
        self._left -= size
        return data

    def drain(self) -> None:
        """Read to the end of the stream, so that a verifying stream gets to its check."""
        while self._stream.read(CHUNK):
            pass

    def finish(self) -> None:
        """Raise ImageError unless the archive was closed and nothing but padding follows.

        A layer may end without its closing blocks; an archive that was cut off
        between two members looks the same.
        """
        if not self._ended:
            raise ImageError(f"{self._what} is cut off")
        while rest := self._some(CHUNK):
            if rest.strip(b"\0"):
                raise ImageError(f"{self._what} has data after its end")

    def _next(self) -> Member | None:
        extra: dict[str, bytes] = {}
        for _ in range(_MAX_HEADERS):
            block = self._block()
            if block is None or block == bytes(BLOCK):
                self._ended = block is not None
                return None
            checksum = _number(block[148:156], self._what)
            if checksum != sum(block) - sum(block[148:156]) + 8 * 32:
                raise ImageError(f"{self._what} is not a tar archive, or is damaged (bad checksum)")
            kind, size = block[156:157], _number(block[124:136], self._what)
            if kind == b"x":
                extra.update(self._pax(self._extra(size)))
            elif kind == b"L":
                extra["path"] = self._extra(size).rstrip(b"\0")
            elif kind == b"K":
                extra["linkpath"] = self._extra(size).rstrip(b"\0")
            elif kind == b"g":
                self._extra(size)  # global records: comments, in practice
            else:
                return self._member(block, kind, extra)
        raise ImageError(f"{self._what} has too many extended headers before a member")

    def _member(self, block: bytes, kind_flag: bytes, extra: dict[str, bytes]) -> Member:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = f"{prefix}/{name}"
        name = _decode(extra["path"]) if "path" in extra else name
        link = _decode(extra["linkpath"]) if "linkpath" in extra else _text(block[157:257])
        kind = _KINDS.get(kind_flag)
        if kind is None:
            raise ImageError(f"{self._what}: {name[:200]!r} has the unknown type {kind_flag!r}")
        if kind == "file" and name.endswith("/"):
            kind = "directory"
        size = self._value(extra, "size", block[124:136])
        if kind in _WITHOUT_CONTENT:
            size = 0
        return Member(
            path=normal_path(name, self._what),
            kind=kind,
            mode=_number(block[100:108], self._what) & 0o7777,
            uid=self._value(extra, "uid", block[108:116]),
            gid=self._value(extra, "gid", block[116:124]),
            size=size,
            offset=self._position,
            link=normal_path(link, self._what) if kind == "hardlink" else link,
            mtime=_time(extra.get("mtime"), block[136:148]),
            name=name,
        )

    def _value(self, extra: dict[str, bytes], key: str, field: bytes) -> int:
        if key not in extra:
            return _number(field, self._what)
        if not extra[key].isdigit() or len(extra[key]) > 19:
            raise ImageError(f"{self._what} has the invalid {key} {extra[key][:40]!r}")
        return int(extra[key])

    def _extra(self, size: int) -> bytes:
        if size > _MAX_EXTRA:
            raise ImageError(f"{self._what} has an extended header of {size} bytes")
        data = self._exactly(size)
        self._skip(-size % BLOCK)
        return data

    def _pax(self, data: bytes) -> dict[str, bytes]:
        """Return the records that mean something here; the others are checked and dropped."""
        records: dict[str, bytes] = {}
        at, end = 0, len(data.rstrip(b"\0"))
        while at < end:
            digits, _, _ = data[at : at + 20].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            key, equals, value = data[at + len(digits) + 1 : at + length].partition(b"=")
            if at + length > len(data) or not equals or not value.endswith(b"\n"):
                raise ImageError(f"{self._what} has a malformed extended header")
            if key.startswith(b"GNU.sparse"):
                raise ImageError(f"{self._what} holds sparse files, which are not supported")
            if key in _PAX_KEYS:
                records[key.decode()] = value[:-1]
            at += length
        return records

    def _block(self) -> bytes | None:
        """Return the next header block, None at a clean end of the stream."""
        data = self._some(BLOCK)
        if 0 < len(data) < BLOCK:
            raise ImageError(f"{self._what} is cut off")
        return data or None

    def _exactly(self, size: int) -> bytes:
        data = self._some(size)
        if len(data) < size:
            raise ImageError(f"{self._what} is cut off")
        return data

    def _skip(self, size: int) -> None:
        if self._jump is not None:
            size -= len(self._some(min(size, len(self._buffer) - self._at)))
            if self._jump(size) < size:
                raise ImageError(f"{self._what} is cut off")
            self._position += size
            return
        while size:
            size -= len(self._exactly(min(size, CHUNK)))

    def _some(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end of the stream."""
        end = self._at + size
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
        else:
            parts = [self._buffer[self._at :]]
            missing = size - len(parts[0])
            self._buffer, self._at = b"", 0
            while missing and (piece := self._stream.read(max(missing, self._piece))):
                parts.append(piece[:missing])
                self._buffer, self._at = piece, len(parts[-1])
                missing -= len(parts[-1])
            data = b"".join(parts)
        self._position += len(data)
        return data


def normal_path(name: str, what: str) -> str:
    """Return a member's name relative and without ``.``; refuse ``..`` and NUL."""
    if len(name) > _MAX_PATH:
        raise ImageError(f"{what} has a member whose name is too long ({len(name)} characters)")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise ImageError(f"{what} has a member outside of its root: {name[:200]!r}")
    return "/".join(parts)


def _text(field: bytes) -> str:
    return _decode(field.partition(b"\0")[0])


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _time(record: bytes | None, field: bytes) -> int:
    """Return a modification time from a pax record (``1600000000.25``) or a header field."""
    if record is not None:
        whole = record.partition(b".")[0]
        return int(whole) if whole.isdigit() and len(whole) < 19 else 0
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else 0


def _number(field: bytes, what: str) -> int:
    """Read octal digits, or GNU's base 256 when the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    # int() alone would take a sign, underscores and 0o.
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ImageError(f"{what} is not a tar archive, or is damaged (bad number)")
    return int(digits or b"0", 8)
