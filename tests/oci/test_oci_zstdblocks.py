"""Counting the blocks of a zstd stream, cut anywhere, and what pieces of it can become."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from slimpack.oci.decompress import decompress
from slimpack.oci.zstdblocks import MAX_BLOCK, UNKNOWN, BlockCounter

NOISE = random.Random(3).randbytes(3 * MAX_BLOCK + 5)
FORMS = [(size, checksum) for size in (False, True) for checksum in (False, True)]
Form = tuple[bool, bool]
"""Whether a frame tells the size of its content, and whether it has a checksum."""


def packer_of(form: Form) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=1, write_content_size=form[0], write_checksum=form[1])


def frame(data: bytes, form: Form, blocks: int) -> bytes:
    """Return a frame of `data`, in at least so many blocks."""
    packer = packer_of(form).compressobj(size=len(data) if form[0] else -1)
    step = len(data) // blocks + 1 if blocks else len(data) + 1
    parts = []
    for start in range(0, len(data), step):
        parts.append(packer.compress(data[start : start + step]))
        parts.append(packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    return b"".join([*parts, packer.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)])


def run_of(blocks: int, byte: bytes = b"x") -> bytes:
    """Return a frame of blocks of 128 KiB of one byte, 4 bytes each (RFC 8878, 3.1.1.2)."""
    header = struct.pack("<IBB", 0xFD2FB528, 0, 7 << 3)  # a window of 128 KiB
    return header + b"".join(
        (MAX_BLOCK << 3 | 1 << 1 | (number == blocks - 1)).to_bytes(3, "little") + byte
        for number in range(blocks)
    )


def skippable(size: int) -> bytes:
    return struct.pack("<II", 0x184D2A5E, size) + (b"\x28\xb5\x2f\xfd" * size)[:size]


def counted(stream: bytes, cuts: list[int]) -> list[tuple[bytes, int]]:
    """Return pieces of a stream, and how many blocks begin in each."""
    counter = BlockCounter()
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    return [(piece, counter.count(piece)) for piece in pieces]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000, MAX_BLOCK, MAX_BLOCK + 1, len(NOISE)])
def test_frames_of_noise_have_a_block_for_each_128_kib(form: Form, size: int) -> None:
    packed = packer_of(form).compress(NOISE[:size])
    expected = -(-size // MAX_BLOCK) or 1
    assert BlockCounter().count(packed) == expected
    assert BlockCounter().count(packed + run_of(7) + packed) == 2 * expected + 7


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(FORMS), st.integers(0, 9))),
    st.lists(st.integers(0, 1 << 20), max_size=12),
)
def test_however_it_is_cut_no_piece_becomes_more(
    frames: list[tuple[int, Form, int]], cuts: list[int]
) -> None:
    """A piece ends blocks that began in it, and one that began before."""
    stream = b"".join(
        skippable(size % 50) + frame(NOISE[:size], form, blocks) + run_of(blocks + 1)
        for size, form, blocks in frames
    )
    pieces = counted(stream, cuts)
    assert sum(count for _, count in pieces) == BlockCounter().count(stream) < UNKNOWN
    unpacker, left = zstandard.ZstdDecompressor(), b""
    reader = unpacker.decompressobj()
    for piece, count in pieces:
        left, got = left + piece, 0
        while left:
            if reader.eof:
                reader = unpacker.decompressobj()
            got += len(reader.decompress(left))
            left = reader.unused_data if reader.eof else b""
        assert got <= (count + 1) * MAX_BLOCK


@pytest.mark.parametrize("before", [b"", run_of(2)])
def test_what_is_no_zstd_may_become_anything(before: bytes) -> None:
    counter = BlockCounter()
    assert counter.count(before + b"no zstd at all") == UNKNOWN
    assert counter.count(run_of(1)) == UNKNOWN


def test_little_memory_is_taken_by_frames_of_many_blocks() -> None:
    """64 KiB of them would be 2 GiB."""
    packed = run_of(1 << 15)
    tracemalloc.start()
    try:
        stream = decompress(io.BytesIO(packed))
        assert stream.read(100) == b"x" * 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
