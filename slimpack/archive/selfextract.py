"""The self-extracting format: a POSIX sh script with a compressed tar behind it.

The script tells where its payload lies in one line of its own, whose numbers have a
fixed width, so that the script can be written twice: first to know how long it is,
then, when the payload is there, with its size and digest::

    # slimpack payload: offset=000000012345 size=000000123456789 compression=gzip sha256=<hex>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from slimpack.errors import ArchiveError

MAX_HEADER = 1 << 20
"""Bytes of a script in which its line is looked for."""

_LINE = re.compile(
    rb"^# slimpack payload: offset=([0-9]{12}) size=([0-9]{15})"
    rb" compression=(gzip|zstd|none) sha256=([0-9a-f]{64})$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Payload:
    """What a script has to know of the tar behind it.

    size, sha256: of the payload as stored; sha256 in 64 hex digits.
    compression: ``gzip``, ``zstd`` or ``none``.
    unpacked: bytes of all files together; members: their number, folders included.
    """

    size: int
    sha256: str
    compression: str
    unpacked: int
    members: int

    def line(self, offset: int) -> str:
        """Return the line, without its end, for a payload that begins at `offset`."""
        return (
            f"# slimpack payload: offset={offset:012} size={self.size:015}"
            f" compression={self.compression} sha256={self.sha256}"
        )


def find_payload(stream: BinaryIO, what: str) -> tuple[int, Payload]:
    """Return where the payload of the script `stream` begins, and what it is.

    `unpacked` and `members` are 0: the line does not tell them. Raises ArchiveError
    unless there is exactly one line and the payload ends where the file does.
    """
    stream.seek(0)
    head = stream.read(MAX_HEADER)
    end = stream.seek(0, 2)
    if not head.startswith(b"#!"):
        raise ArchiveError(f"{what} is not a self-extracting archive")
    # The payload is arbitrary bytes; only what lies before it is the script.
    found = next(_LINE.finditer(head), None)
    if found is None:
        raise ArchiveError(
            f"{what} is a script, but not a self-extracting archive of slimpack",
            hint="it was altered, or it is another program",
        )
    offset, size = int(found[1]), int(found[2])
    if not found.end() < offset <= MAX_HEADER or _LINE.search(head, found.end(), offset):
        raise ArchiveError(f"{what} does not tell where its payload begins")
    if offset + size != end:
        state = "is cut off" if end < offset + size else "has data after its end"
        raise ArchiveError(f"{what} {state}", hint="fetch it again")
    return offset, Payload(size, found[4].decode(), found[3].decode(), 0, 0)
