"""Compression: the same bytes on any machine, and no harm from the bytes of others."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError, InputError
from slimpack.oci.compress import DEFAULT, Compression, Kind
from slimpack.oci.decompress import decompress, sniff
from slimpack.oci.digest import chunks
from tests.oci.oci_images import BY_KIND, need_tool


def text(size: int) -> bytes:
    """Return compressible bytes that have no period."""
    rng = random.Random(1)
    words = [rng.randbytes(rng.randrange(3, 12)) for _ in range(2000)]
    return b"".join(rng.choices(words, k=size // 5))[:size]


def packed(data: bytes, compression: Compression, piece: int = 1 << 20) -> bytes:
    out = io.BytesIO()
    with compression.writer(out, len(data)) as writer:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
    return out.getvalue()


def unpacked(data: bytes, limit: int = 1 << 40) -> bytes:
    return decompress(io.BytesIO(data), limit=limit).read()


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_goes_in_comes_out(kind: Kind, size: int) -> None:
    data = text(size)
    result = packed(data, BY_KIND[kind])
    assert unpacked(result) == data
    if size:
        assert sniff(result) == kind


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_threads_do_not_change_the_bytes(kind: Kind) -> None:
    data = text(24 << 20)  # several jobs of every worker
    level = 3 if kind == "zstd" else 1
    results = {packed(data, Compression(kind, level, threads)) for threads in (1, 2, 4, -1)}
    assert len(results) == 1


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_the_size_of_writes_does_not_change_the_bytes(kind: Kind) -> None:
    data = text(3 << 20)
    results = {packed(data, BY_KIND[kind], piece) for piece in (1 << 20, 700_001, 5 << 20)}
    assert len(results) == 1


def test_zstd_frames_tell_their_size_and_have_a_checksum() -> None:
    frame = zstandard.get_frame_parameters(packed(b"x" * 5000, DEFAULT))
    assert (frame.content_size, frame.has_checksum) == (5000, True)


def test_gzip_header_tells_nothing_of_the_machine() -> None:
    assert packed(b"x", BY_KIND["gzip"])[:10] == bytes.fromhex("1f8b08000000000000ff")


@pytest.mark.parametrize(("kind", "tool"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_the_command_line_tools_read_it(kind: Kind, tool: str) -> None:
    need_tool(tool)
    data = text(5 << 20)
    result = subprocess.run(
        [tool, "-dc"], input=packed(data, BY_KIND[kind]), capture_output=True, check=True
    )
    assert result.stdout == data


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
@pytest.mark.parametrize("promised", [99, 101])
def test_a_broken_promise_of_the_size_is_an_error(kind: Kind, promised: int) -> None:
    with pytest.raises(ImageError), BY_KIND[kind].writer(io.BytesIO(), promised) as writer:
        writer.write(b"x" * 100)


@pytest.mark.parametrize(
    ("kind", "level", "threads"),
    [
        ("xz", 3, 1),
        ("zstd", 0, 1),
        ("zstd", 23, 1),
        ("gzip", 10, 1),
        ("none", 1, 1),
        ("zstd", 3, 0),
    ],
)
def test_settings_that_do_not_exist(kind: Kind, level: int, threads: int) -> None:
    with pytest.raises(InputError):
        Compression(kind, level, threads)


def test_cache_keys_differ_where_bytes_may() -> None:
    keys = {Compression("zstd", 3).key, Compression("zstd", 4).key, Compression("gzip", 4).key}
    assert len(keys) == 3
    assert Compression("zstd", 3, 1).key == Compression("zstd", 3, 4).key


SKIPPABLE = b"\x5a\x2a\x4d\x18\x04\x00\x00\x00abcd"


def test_zstd_of_several_frames_and_skippable_ones() -> None:
    one, two = packed(b"one", DEFAULT), packed(text(300_000), DEFAULT)
    stream = SKIPPABLE + one + SKIPPABLE + two + SKIPPABLE
    assert unpacked(stream) == b"one" + text(300_000)


def test_gzip_of_several_members() -> None:
    assert unpacked(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["zstd", "gzip"]), st.data())
def test_cut_off_and_damaged_input_is_refused(kind: str, data: st.DataObject) -> None:
    whole = packed(text(5000), BY_KIND[kind])
    cut = data.draw(st.integers(4, len(whole) - 1))
    with pytest.raises(ImageError, match="layer is damaged"):
        unpacked(whole[:cut])


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_rubbish_after_the_end_is_refused(kind: Kind) -> None:
    with pytest.raises(ImageError, match="damaged"):
        unpacked(packed(text(5000), BY_KIND[kind]) + b"rubbish!")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_with_a_magic_are_refused_in_words(data: bytes) -> None:
    for magic in (b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00", SKIPPABLE[:4]):
        try:
            result = unpacked(magic + data, limit=1 << 24)
        except ImageError:
            continue
        assert len(result) <= 1 << 24


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_bombs_stop_at_the_limit_in_little_memory(kind: Kind) -> None:
    size = 300 << 20
    out = io.BytesIO()
    block = bytes(1 << 20)
    with Compression(kind, 1, 2).writer(out, size) as writer:
        for _ in range(300):
            writer.write(block)
    assert len(out.getvalue()) < 2 << 20
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="more than the 200000000 bytes"):
            for _ in chunks(decompress(io.BytesIO(out.getvalue()), limit=200_000_000)):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20


def test_a_window_that_eats_memory_is_refused() -> None:
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(30 - 10) << 3])  # window of 1 GiB
    with pytest.raises(ImageError, match="damaged"):
        unpacked(header + b"\x01\x00\x00")
