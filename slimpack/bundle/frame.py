"""The frame that the tar puts around members, and where each of them must lie.

A bundle is reproducible, so every byte of it that no digest covers (headers, padding, the end)
is known from the statement as well.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from slimpack.bundle.contents import Part
from slimpack.bundle.passing import Passing
from slimpack.errors import ImageError
from slimpack.oci.tar import BLOCK, tar_header
from slimpack.oci.untar import Member, TarReader

_CHECKSUM = slice(148, 156)
_SIZE = slice(124, 136)
_KIND = slice(156, 157)
_WITH_CONTENT = b"0\x007xgLKS"  # files, and headers that go before another one


def header_of(path: str, size: int) -> bytes:
    """Return the header that a member has in a bundle."""
    return tar_header(Part(path, size, "", io.BytesIO).entry(), 0)


def is_header(block: bytes) -> bool:
    """Tell whether a block is one of a tar, by its checksum."""
    if len(block) < BLOCK:
        return False
    # POSIX: as if the checksum itself were blanks.
    total = sum(block) - sum(block[_CHECKSUM]) + 8 * 0x20
    return octal(block[_CHECKSUM]) == total


def octal(field: bytes) -> int:
    """Return the number in a field, -1 for none."""
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else -1


def name_in(block: bytes) -> str:
    """Return what a header calls its member, as far as the name field goes."""
    return block[:100].partition(b"\0")[0].decode("utf-8", "replace")


def size_in(block: bytes) -> int:
    """Return the bytes of content that a header says, -1 for what is no size."""
    return octal(block[_SIZE])


@dataclass(frozen=True)
class Foreign:
    """A header that is sound, but another one than must come. refused: why it is no member."""

    header: bytes
    member: Member | None
    refused: str = ""


def foreign(source: Passing) -> Foreign:
    """Read such a header; the content of what is refused passes, too."""
    recorded = _Recorded(source)
    try:
        member = next(iter(TarReader(recorded, "the tar", skip=recorded.skip)), None)
        if member is not None:
            return Foreign(b"".join(recorded.taken), member)
        said = "it is no header"
    except ImageError as error:
        said = error.message
    source.unread(b"".join(recorded.taken))
    block = source.read(BLOCK)
    if block[_KIND] in _WITH_CONTENT and (size := size_in(block)) > 0:
        source.skip(size + -size % BLOCK)
    return Foreign(block, None, said)


class _Recorded:
    """What a reader of headers took; it takes whole blocks, and jumps over padding alone."""

    def __init__(self, source: Passing) -> None:
        self.taken: list[bytes] = []
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.taken.append(data)
        return data

    def skip(self, size: int) -> int:
        return len(self.read(size))

    def close(self) -> None:
        """Leave the source open."""
