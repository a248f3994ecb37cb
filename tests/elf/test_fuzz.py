"""Mutated ELF files give a result, None or ElfError, soon; a plan never touches segments."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.elf.headers import ElfError, Headers, Source, read_headers
from slimpack.elf.read import Elf, read_elf
from slimpack.elf.strip import Level
from tests.elf.builder import make_elf
from tests.elf.programs import apply, assert_mapped_bytes_are_kept, library, plan_of
from tests.elf.test_strip_peers import patched

NEEDS = {"libc.so.6": (("GLIBC_2.2.5", 0), ("GLIBC_2.34", 0)), "libm.so.6": (("GLIBC_2.29", 0),)}


def made(bits: int, order: str) -> bytes:
    return make_elf(
        bits=bits, order=order, machine=21, needed=("libc.so.6", "libm.so.6"), soname="x.so",
        runpath="$ORIGIN", interpreter="/lib/ld.so", needs=NEEDS, defs=("x.so", "X_1"),
    )  # fmt: skip


@cache
def seeds() -> tuple[bytes, ...]:
    with TemporaryDirectory() as folder:
        real = library(Path(folder)).read_bytes(), patched(Path(folder)).read_bytes()
    return (*real, *(made(bits, order) for bits in (32, 64) for order in "<>"))


@cache
def interesting(seed: int) -> tuple[int, ...]:
    """Offsets of the header, of both tables and of the dynamic segment with its strings."""
    found = read_headers(Source(io.BytesIO(seeds()[seed]), len(seeds()[seed]), "seed"))
    assert isinstance(found, Headers)
    places = [*range(4, found.ehsize)]
    places += range(found.phoff, found.phoff + found.phnum * found.phentsize)
    places += range(found.shoff, found.shoff + found.shnum * found.shentsize)
    for segment in found.segments:
        if segment.type == 2:
            places += range(segment.offset, segment.end)
    for section in found.sections:
        if section.type in (0x6FFFFFFD, 0x6FFFFFFE, 3):
            places += range(section.offset, min(section.end, section.offset + 200))
    return tuple(places)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    seed = draw(st.integers(0, len(seeds()) - 1))
    data = bytearray(seeds()[seed])
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.sampled_from(interesting(seed)) | st.integers(0, len(data) - 1))
        values = st.sampled_from([b"\0", b"\1", b"\xff", b"\xff\xff", b"\0\0\0\0\0\0\0\x80"])
        value = draw(values | st.binary(min_size=1, max_size=8))
        data[place : place + len(value)] = value
    cut = draw(st.none() | st.integers(0, len(data)))
    return bytes(data[:cut]) + draw(st.sampled_from([b"", b"", b"\0", b"payload"]))


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=400, deadline=2000, suppress_health_check=SLOW)
@given(mutated())
def test_reading_gives_a_file_none_or_an_elf_error(data: bytes) -> None:
    try:
        elf = read_elf(io.BytesIO(data), len(data), "fuzzed")
    except ElfError as error:
        assert str(error).startswith("fuzzed: damaged ELF file: ")
    else:
        assert elf is None or isinstance(elf, Elf)


@settings(max_examples=400, deadline=2000, suppress_health_check=SLOW)
@given(mutated(), st.sampled_from(["debug", "symbols"]), st.booleans())
def test_a_plan_keeps_every_mapped_byte(data: bytes, level: Level, close_gaps: bool) -> None:
    plan = plan_of(data, level, close_gaps=close_gaps)
    if plan is None:
        return
    result = apply(data, plan)
    assert len(result) == plan.new_size
    assert plan.saved + plan.zeroed >= 4096
    assert_mapped_bytes_are_kept(data, result, moved=close_gaps)


@settings(max_examples=100, deadline=2000, suppress_health_check=SLOW)
@given(st.binary(max_size=400))
def test_noise_behind_the_magic(data: bytes) -> None:
    for head in (b"\x7fELF", b"\x7fELF\2\1\1\0", b"\x7fELF\1\2\1\0"):
        whole = head + data
        assert plan_of(whole, "symbols") is None
        with suppress(ElfError):
            read_elf(io.BytesIO(whole), len(whole), "noise")


def test_the_largest_tables_that_are_read_take_no_long_time() -> None:
    versions = {f"lib{n}": (("v" * 100, 0),) * 20 for n in range(900)}
    data = make_elf(needs=versions, needed=("n" * 500,) * 3000)
    start = time.perf_counter()
    elf = read_elf(io.BytesIO(data), len(data), "large")
    assert elf is not None
    assert len(elf.version_needs) == 900
    assert time.perf_counter() - start < 3


def test_too_many_sections_or_segments_are_refused_soon() -> None:
    many = make_elf(extra=[(".debug_x", 1, b"x" * 8)] * 5000)
    start = time.perf_counter()
    assert plan_of(many, "debug") is None
    assert time.perf_counter() - start < 1
    data = bytearray(make_elf())
    data[56:58] = b"\xff\xfe"
    with pytest.raises(ElfError, match="unknown form"):
        read_elf(io.BytesIO(bytes(data)), len(data), "segments")
