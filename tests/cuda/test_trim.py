"""Trimming changes what lies in containers and nothing else."""

from __future__ import annotations

import ctypes
import io
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.cuda.keep import serves
from slimpack.elf.headers import ElfError
from slimpack.elf.pieces import Copy, Literal, Zeros
from slimpack.elf.strip import strip_plan
from slimpack.elf.stripped import stripped
from slimpack.elf.view import view
from tests.cuda.fatbins import (
    LTO,
    apply,
    code_of,
    container,
    entry,
    library,
    names,
    plan_of,
    ptx,
    trimmed,
)
from tests.elf.builder import make_elf
from tests.elf.programs import LIBRARY, gcc

FULL = container(entry("75"), entry("80", 2048), entry("90", 8192), entry("90a", 16), ptx("120"))


def test_what_is_needed_moves_behind_the_header_and_zeros_follow() -> None:
    data = library(FULL, container(entry("90"), entry("100")))
    plan = plan_of(data, [90])
    assert plan is not None
    result = apply(data, plan)
    place = data.index(FULL)
    new = container(entry("90", 8192), entry("90a", 16))
    assert result[place:].startswith(new)
    assert not any(result[place + len(new) : place + len(FULL)])
    assert plan.dropped == len(FULL) - len(new) + len(entry("100"))
    assert result[:place] == data[:place]
    assert names(result) == [["90", "90a"], ["90"]]


def test_trimming_again_changes_nothing() -> None:
    data = library(FULL, container(entry("75"), entry("80")))
    plan = plan_of(data, [90])
    assert plan is not None
    assert plan_of(apply(data, plan), [90]) is None


@pytest.mark.parametrize("name", [".nv_fatbin", "__nv_relfatbin", ".cask_resource", ".data"])
def test_containers_are_found_in_all_data(name: str) -> None:
    gap = b"some other data " * 100
    data = library(gap, FULL, gap, FULL, name=name)
    assert trimmed(data, 90) == [["90", "90a"]] * 2


def test_a_container_must_be_aligned() -> None:
    assert code_of(library(b"1234", FULL)) is None


def test_what_is_no_container_is_passed_over() -> None:
    magic = FULL[:4]
    size = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 40)
    longer = bytearray(FULL)
    longer[8:16] = struct.pack("<Q", len(FULL))  # Eight bytes too many.
    nothing = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 0)
    broken = [magic + bytes(12), size, bytes(longer), magic, b"12345678", nothing]
    data = library(*(part + bytes(-len(part) % 8) for part in broken), FULL)
    assert names(data)[-1] == names(library(FULL))[0]
    assert trimmed(data, 90)[-1] == ["90", "90a"]


def test_a_file_full_of_broken_containers_is_left_alone_and_soon() -> None:
    start = time.perf_counter()
    chain = b"".join(entry("80", 0) for _ in range(2000))
    lying = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(chain) - 8) + chain
    assert code_of(library(*[lying] * 200)) is None
    assert code_of(library(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 20) * 60_000)) is None
    assert time.perf_counter() - start < 3


def test_other_files_have_no_gpu_code() -> None:
    assert code_of(b"no ELF file") is None
    assert code_of(make_elf()) is None
    for bits, order, machine, kind in ((32, "<", 3, 3), (64, ">", 21, 3), (64, "<", 62, 1)):
        data = make_elf(
            bits=bits, order=order, machine=machine, kind=kind, data=[(".nv_fatbin", FULL)]
        )
        assert code_of(data) is None
    # What no segment covers is no data of the program.
    assert code_of(make_elf(extra=[(".nv_fatbin", 1, FULL)])) is None
    assert code_of(make_elf(data=[(".nv_fatbin", FULL)], section_table=False)) is None


def test_little_is_not_worth_it() -> None:
    assert plan_of(library(container(entry("80", 1000), entry("90", 1000))), [90]) is None


@st.composite
def containers(draw: st.DrawFn) -> bytes:
    kinds = st.sampled_from([1, 2, 2, 2, LTO])
    archs = st.sampled_from(["75", "80", "87", "90", "90a", "100", "100f", "103f", "110", "120"])
    sizes = st.integers(0, 400).map(lambda size: 8 * size)
    parts = st.builds(lambda kind, arch, size: entry(arch, size, kind=kind), kinds, archs, sizes)
    return container(*draw(st.lists(parts, max_size=6)))


DEVICES = st.sets(st.sampled_from([75, 80, 87, 89, 90, 100, 103, 110, 120]), min_size=1, max_size=3)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=300, deadline=2000, suppress_health_check=SLOW)
@given(st.lists(containers(), min_size=1, max_size=5), DEVICES, st.booleans())
def test_only_containers_change_and_starts_stay(
    parts: list[bytes], devices: set[int], with_ptx: bool
) -> None:
    data = library(*parts, container(*[entry("35", 4000)] * 2))
    before = code_of(data)
    plan = plan_of(data, devices, ptx=with_ptx)
    if plan is None or before is None:
        return
    result = apply(data, plan)
    after = code_of(result)
    assert after is not None
    mask = bytearray(len(data))
    for old, new in zip(before.containers, after.containers, strict=True):
        mask[old.offset : old.end] = b"\1" * (old.end - old.offset)
        assert new.offset == old.offset
        assert bool(new.entries) == bool(old.entries)
        contents = {data[one.offset : one.end] for one in before.entries}
        assert all(result[one.offset : one.end] in contents for one in new.entries)
        for device in devices:
            # Whatever ran before runs now; and what did not, does not.
            assert any(serves(one, device) for one in old.entries) == any(
                serves(one, device) for one in new.entries
            )
    assert all(mask[n] or data[n] == result[n] for n in range(len(data)))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(library(FULL, b"gap gap ", container(entry("80", 64), ptx("75", 64)), FULL))
    start = data.index(FULL)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(
            st.integers(start, start + 96) | st.integers(0, 512) | st.integers(0, len(data) - 1)
        )
        value = draw(
            st.sampled_from([b"\0", b"\1", b"\xff", b"\xff\xff\xff\xff", bytes(7) + b"\x80"])
            | st.binary(min_size=1, max_size=8)
        )
        data[place : place + len(value)] = value
    cut = draw(st.none() | st.integers(0, len(data)))
    return bytes(data[:cut])


@settings(max_examples=400, deadline=2000, suppress_health_check=SLOW)
@given(mutated(), DEVICES)
def test_damaged_files_are_left_alone_or_changed_in_containers_only(
    data: bytes, devices: set[int]
) -> None:
    plan = plan_of(data, devices)
    code = code_of(data)
    if plan is None or code is None:
        return
    result = apply(data, plan)
    differs = [n for n, (old, new) in enumerate(zip(data, result, strict=True)) if old != new]
    for n in (differs[0], differs[-1]):
        assert any(found.offset <= n < found.end for found in code.containers)


@settings(max_examples=100, deadline=2000, suppress_health_check=SLOW)
@given(st.binary(max_size=600))
def test_noise(noise: bytes) -> None:
    for head in (b"", FULL[:4], FULL[:16], FULL[:80]):
        code = code_of(library(head + noise))
        assert code is None or all(found.end <= 4096 for found in code.containers)


@settings(max_examples=100, deadline=2000)
@given(st.data())
def test_a_view_reads_like_the_planned_file(data: st.DataObject) -> None:
    original = library(FULL, FULL)
    plan = plan_of(original, [90])
    assert plan is not None
    assert {type(piece) for piece in plan.pieces} == {Copy, Literal, Zeros}
    whole = apply(original, plan)
    with view(io.BytesIO(original), plan) as stream:
        for _ in range(5):
            place = data.draw(st.integers(0, len(whole) + 10))
            length = data.draw(st.integers(0, len(whole)))
            assert stream.seek(place) == place
            assert stream.read(length) == whole[place : place + length]
        assert stream.seek(-3, io.SEEK_END) == len(whole) - 3
        assert stream.read() == whole[-3:]


def test_an_original_that_became_shorter_is_an_error() -> None:
    original = library(FULL)
    plan = plan_of(original, [90])
    assert plan is not None
    for opened in (stripped, view):
        with (
            pytest.raises(ElfError, match="shorter"),
            opened(io.BytesIO(original[:-10]), plan) as stream,
        ):
            stream.read()


def _real(folder: Path) -> Path:
    (folder / "code.bin").write_bytes(FULL)
    source = (
        LIBRARY
        + """
    __asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\nfirst: .incbin \\"code.bin\\"\\n"
            ".balign 8\\nsecond: .incbin \\"code.bin\\"\\n.text\\n");
    extern const unsigned char first[], second[];
    int size(int n) { return *(const int *)((n ? second : first) + 8); }
    int byte(int n, int at) { return (n ? second : first)[at]; }
    """
    )
    return gcc(folder, "libgpu.so", source, "-g", "-shared", "-fPIC")


def test_a_real_library_is_trimmed_and_stripped_and_loads(tmp_path: Path) -> None:
    original = _real(tmp_path).read_bytes()
    plan = plan_of(original, [90])
    assert plan is not None
    small = apply(original, plan)
    with view(io.BytesIO(original), plan) as stream:
        strip = strip_plan(stream, plan.size, "symbols", close_gaps=True)
    assert strip is not None
    with stripped(stripped(io.BytesIO(original), plan), strip) as stream:
        result = stream.read()
    with stripped(io.BytesIO(small), strip) as stream:
        assert result == stream.read()
    path = tmp_path / "out.so"
    path.write_bytes(result)
    loaded = ctypes.CDLL(str(path))
    new = container(entry("90", 8192), entry("90a", 16))
    for n in (0, 1):
        assert loaded.size(n) == len(new) - 16
        assert bytes(loaded.byte(n, at) for at in range(len(new))) == new
    assert subprocess.run(["readelf", "-SlW", path], capture_output=True).stderr == b""
