"""A segment of a patch: how the next bytes of the new tar come about.

Each begins with two lengths (32 bits, little endian): of its plan and of its frame. The
plan is JSON in a zstd frame: the operations, in order, and the ranges of old tars that,
joined, are the frame's dictionary (raw content). The frame holds the new bytes of all
operations, joined; its length is 0 where there are none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import zstandard

from slimpack.errors import ImageError
from slimpack.oci.digest import ByteStream
from slimpack.oci.jsontext import canonical, parse_object
from slimpack.patch.info import exactly
from slimpack.patch.spool import Spool

MAX_NEW = 32 << 20
"""Most bytes that the frame of a segment unpacks to."""

MAX_REFERENCES = 64 << 20
"""Most bytes of old tars that a frame may refer to."""

_MAX_PLAN = 4 << 20  # bytes of JSON
_SLACK = 1 << 20  # a frame of what cannot be compressed is a little larger than that
_LENGTHS = struct.Struct("<II")
_LEVEL = 18
_CHAIN_LOG = 23  # larger tables take twice the memory and find nothing more in so few bytes
_HASH_LOG = 21


@dataclass(frozen=True, slots=True)
class Range:
    """`size` bytes of the tar of the base with the number `base`, from `offset` on."""

    base: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.size


Operation = Range | int
"""Bytes of an old tar as they are, or a number of new ones."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The operations of a segment, and what its new bytes refer to."""

    operations: tuple[Operation, ...]
    references: tuple[Range, ...]

    @property
    def size(self) -> int:
        """Bytes of the new tar that the segment makes."""
        return sum(op if isinstance(op, int) else op.size for op in self.operations)

    @property
    def new(self) -> int:
        """Bytes that its frame unpacks to."""
        return sum(op for op in self.operations if isinstance(op, int))


def pack_segment(plan: Plan, new: bytes, tars: Sequence[Spool]) -> bytes:
    """Return a segment whose new bytes, joined, are `new`. tars: of the bases, by number."""
    table = canonical(
        {
            "operations": [op if isinstance(op, int) else _list(op) for op in plan.operations],
            "references": [_list(item) for item in plan.references],
        }
    )
    head = _pack(table, b"")
    frame = _pack(new, _joined(plan.references, tars)) if new else b""
    return _LENGTHS.pack(len(head), len(frame)) + head + frame


def read_segment(
    stream: ByteStream, sizes: Sequence[int], tars: Sequence[Spool], left: int, what: str
) -> Iterator[bytes]:
    """Read a segment and yield the bytes of the new tar that it makes.

    sizes: of the tars of the bases, by number. left: most bytes that it may make.
    what: names the patch in messages.
    Raises ImageError for anything that is not a sound segment.
    """
    head_size, frame_size = _LENGTHS.unpack(exactly(stream, _LENGTHS.size, what))
    if head_size > _MAX_PLAN or frame_size > MAX_NEW + _SLACK:
        raise ImageError(f"{what} has a segment that is too large")
    head = _unpack(exactly(stream, head_size, what), b"", _MAX_PLAN, what)
    plan = _parse(head, sizes, what)
    if plan.size > left:
        raise ImageError(f"{what} makes more than the tar that it declares")
    new = b""
    if plan.new or frame_size:
        frame = exactly(stream, frame_size, what)
        new = _unpack(frame, _joined(plan.references, tars), plan.new, what)
        if len(new) != plan.new:
            raise ImageError(f"{what} has {len(new)} new bytes in a segment of {plan.new}")
    at = 0
    for op in plan.operations:
        if isinstance(op, int):
            yield new[at : at + op]
            at += op
        else:
            yield from tars[op.base].pieces(op.offset, op.size)


def _parse(data: bytes, sizes: Sequence[int], what: str) -> Plan:
    value = parse_object(data, what)
    operations = value.get("operations")
    references = value.get("references")
    if not isinstance(operations, list) or not isinstance(references, list) or not operations:
        raise ImageError(f"{what} has a segment without operations")
    plan = Plan(
        operations=tuple(
            _count(op, what) if isinstance(op, int) else _range(op, sizes, what)
            for op in operations
        ),
        references=tuple(_range(item, sizes, what) for item in references),
    )
    if plan.new > MAX_NEW or sum(item.size for item in plan.references) > MAX_REFERENCES:
        raise ImageError(f"{what} has a segment that is too large")
    return plan


def _range(value: Any, sizes: Sequence[int], what: str) -> Range:
    if not isinstance(value, list) or len(value) != 3:
        raise ImageError(f"{what} has a malformed operation")
    base, offset, size = (_count(item, what, least=0) for item in value)
    if base >= len(sizes) or not size or offset + size > sizes[base]:
        raise ImageError(f"{what} refers to bytes outside of its base layers")
    return Range(base, offset, size)


def _count(value: Any, what: str, *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ImageError(f"{what} has a malformed operation")
    return value


def _list(item: Range) -> list[int]:
    return [item.base, item.offset, item.size]


def _joined(references: Sequence[Range], tars: Sequence[Spool]) -> bytes:
    return b"".join(tars[item.base].read(item.offset, item.size) for item in references)


def _dictionary(content: bytes) -> zstandard.ZstdCompressionDict | None:
    if not content:
        return None
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _pack(data: bytes, dictionary: bytes) -> bytes:
    # The window reaches from the end of the data to the beginning of the dictionary.
    reach = len(data) + len(dictionary)
    usual = zstandard.ZstdCompressionParameters.from_level(_LEVEL, source_size=reach)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        source_size=reach,
        chain_log=min(usual.chain_log, _CHAIN_LOG),
        hash_log=min(usual.hash_log, _HASH_LOG),
        window_log=max(reach.bit_length(), zstandard.WINDOWLOG_MIN),
        write_checksum=1,
    )
    return zstandard.ZstdCompressor(
        compression_params=parameters, dict_data=_dictionary(dictionary)
    ).compress(data)


def _unpack(frame: bytes, dictionary: bytes, limit: int, what: str) -> bytes:
    """Return the content of one zstd frame, which says itself that it has `limit` bytes at most."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if size > limit:
            raise ImageError(f"{what} has a frame of more than the {limit} bytes allowed")
        return zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary)).decompress(
            frame, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ImageError(f"{what} is damaged: {error}", hint="fetch or copy it again") from error
