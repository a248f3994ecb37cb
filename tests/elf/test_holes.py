"""Zeros leave the file, and no byte of a program's memory changes."""

from __future__ import annotations

import ctypes
import io
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.elf.headers import ElfError
from slimpack.elf.holes import hole_edits
from slimpack.elf.pieces import Copy, Edit, Literal, Piece, Zeros, edited
from slimpack.elf.read import read_elf
from slimpack.elf.strip import strip_plan
from slimpack.elf.stripped import stripped
from tests.elf.programs import ANSWERS, LIBRARY, answers, gcc, headers
from tests.elf.test_strip_peers import complaints

MARK = b"-- a mark between zeros --------"
SIZES = (100_000, 40_000, 10_000, 300_000, 70_000)
HEAD = struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True)
class Whole:
    size: int
    pieces: tuple[Piece, ...]

    @property
    def new_size(self) -> int:
        return sum(piece.length for piece in self.pieces)


def source(section: str) -> str:
    """A library with runs of zeros between marks, in a section."""
    body = "".join(
        f'.ascii \\"{MARK.decode()}\\"\\n.zero {size}\\n'.replace('\\"', '\\"') for size in SIZES
    )
    return (
        LIBRARY
        + f'__asm__(".section {section}\\nmarks: {body}.ascii \\"{MARK.decode()}\\"\\n.text\\n");'
        + """
    extern const unsigned char marks[];
    int byte_at(int at) { return marks[at]; }
    const unsigned char *all(void) { return marks; }
    """
    )


def made(folder: Path, section: str = '.zeros,\\"a\\"', *options: str) -> bytes:
    lib = gcc(folder, "libzeros.so", source(section), "-g", "-shared", "-fPIC", *options)
    return lib.read_bytes()


def zeros_of(data: bytes) -> list[tuple[int, int]]:
    """Where the runs are in the file."""
    runs, place = [], data.index(MARK)
    for size in SIZES:
        runs.append((place + len(MARK), place + len(MARK) + size))
        place = runs[-1][1]
    return runs


def holed(data: bytes, zeros: Sequence[tuple[int, int]] | None = None) -> bytes | None:
    edits = hole_edits(headers(data), zeros_of(data) if zeros is None else zeros)
    if edits is None:
        return None
    plan = Whole(len(data), edited((Copy(0, len(data)),), edits))
    with stripped(io.BytesIO(data), plan) as stream:
        return stream.read()


def memory(data: bytes) -> dict[int, tuple[bytes, int]]:
    """Address -> content and whether it may be written; segments that touch are one."""
    found: dict[int, tuple[bytes, int]] = {}
    last = None
    read = headers(data)
    for n in range(read.phnum):
        head = HEAD.unpack_from(data, read.phoff + n * HEAD.size)
        kind, flags, offset, vaddr, _, filesz, memsz, _ = head
        if kind != 1:
            continue
        content = data[offset : offset + filesz] + bytes(memsz - filesz)
        if last is not None and last + len(found[last][0]) == vaddr and found[last][1] == flags & 2:
            found[last] = found[last][0] + content, flags & 2
        else:
            found[vaddr], last = (content, flags & 2), vaddr
    return found


def assert_same_memory(before: bytes, after: bytes) -> None:
    """All but the ELF header's numbers and the new table of program headers."""
    new = headers(after)
    table = range(new.phoff, new.phoff + new.phnum * HEAD.size)
    one, two = memory(before), memory(after)
    assert one.keys() == two.keys()
    for address, (content, writable) in one.items():
        other, other_writable = two[address]
        assert writable == other_writable
        assert len(content) == len(other)
        differs = (
            []
            if content == other
            else [
                n for n, pair in enumerate(zip(content, other, strict=True)) if pair[0] != pair[1]
            ]
        )
        # The table lies in front of everything that moved: addresses are offsets there,
        # but for what the linker put between segments.
        places = {n for n in differs if not (address == 0 and 32 <= n < 64)}
        assert not places or len(places) <= len(table)
        if places:
            start = min(places)
            assert max(places) - start < len(table)
            assert not any(content[start : max(places) + 1])


def test_runs_of_zeros_go_and_the_library_works(tmp_path: Path) -> None:
    data = made(tmp_path)
    result = holed(data)
    assert result is not None
    # A run must fill pages; one page stays in front of the table's.
    assert len(data) - len(result) > sum(SIZES) - SIZES[2] - 6 * 4096 - 4096
    assert_same_memory(data, result)
    path = tmp_path / "holed.so"
    path.write_bytes(result)
    assert answers(path) == ANSWERS
    library = ctypes.CDLL(str(path))
    library.all.restype = ctypes.c_void_p
    length = sum(SIZES) + len(MARK) * (len(SIZES) + 1)
    expected = b"".join(MARK + bytes(size) for size in SIZES) + MARK
    found = ctypes.string_at(library.all(), length)
    table = headers(result).phnum * HEAD.size
    differs = [n for n in range(length) if found[n] != expected[n]]
    assert len(MARK) <= differs[0]
    assert differs[-1] < differs[0] + table < len(MARK) + SIZES[0]


def test_tools_read_it_as_before(tmp_path: Path) -> None:
    data = made(tmp_path)
    result = holed(data)
    assert result is not None
    path = tmp_path / "holed.so"
    path.write_bytes(result)
    assert complaints(path) == complaints(tmp_path / "libzeros.so")
    elf, before = (read_elf(io.BytesIO(one), len(one), "x") for one in (result, data))
    assert elf is not None
    assert elf == before
    names = [n.decode() for n in headers(result).section_names]
    assert names.count(".zeros") == 5
    listed = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True)
    assert "byte_at" in listed.stdout


def test_it_can_be_stripped_afterwards(tmp_path: Path) -> None:
    result = holed(made(tmp_path))
    assert result is not None
    for gaps in (False, True):
        plan = strip_plan(io.BytesIO(result), len(result), "symbols", close_gaps=gaps)
        assert plan is not None
        with stripped(io.BytesIO(result), plan) as stream:
            small = stream.read()
        path = tmp_path / f"small{gaps}.so"
        path.write_bytes(small)
        assert answers(path) == ANSWERS
        assert complaints(path) == []


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ('.zeros,\\"aw\\"', ()),
        ('.zeros,\\"a\\"', ("-Wl,-z,noseparate-code",)),
        ('.zeros,\\"a\\"', ("-Wl,-z,noseparate-code", "-Wl,-z,max-page-size=0x200000")),
        ('.zeros,\\"aw\\"', ("-Wl,-z,max-page-size=0x200000",)),
        ('.data.rel.ro,\\"aw\\"', ("-Wl,-z,norelro",)),
    ],
)
def test_other_segments(tmp_path: Path, section: str, options: tuple[str, ...]) -> None:
    data = made(tmp_path, section, *options)
    result = holed(data)
    assert result is not None
    assert len(result) < len(data) - 380_000
    assert_same_memory(data, result)
    path = tmp_path / "holed.so"
    path.write_bytes(result)
    assert answers(path) == ANSWERS
    # Nothing that the loader fills up may be run.
    heads = (
        HEAD.unpack_from(result, headers(result).phoff + n * 56)
        for n in range(headers(result).phnum)
    )
    assert not any(
        kind == 1 and flags & 1 and memsz > filesz
        for kind, flags, _, _, _, filesz, memsz, _ in heads
    )


def test_a_table_that_names_itself_is_led_to_its_new_place(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path))
    read = headers(bytes(data))
    places = [read.phoff + n * HEAD.size for n in range(read.phnum)]
    stack = next(at for at in places if HEAD.unpack_from(data, at)[0] == 0x6474E551)
    size = read.phnum * HEAD.size
    HEAD.pack_into(data, stack, 6, 4, read.phoff, read.phoff, read.phoff, size, size, 8)
    result = holed(bytes(data))
    assert result is not None
    new = headers(result)
    heads = [HEAD.unpack_from(result, new.phoff + n * HEAD.size) for n in range(new.phnum)]
    (found,) = (head for head in heads if head[0] == 6)
    assert found[2] == new.phoff
    assert found[5] == found[6] == new.phnum * HEAD.size
    path = tmp_path / "holed.so"
    path.write_bytes(result)
    assert answers(path) == ANSWERS


def test_programs_are_left_alone(tmp_path: Path) -> None:
    text = source('.zeros,\\"a\\"') + "int main(void) { return byte_at(0) != 45; }"
    for name, options in {
        "pie": ("-pie",),
        "static-pie": ("-static-pie",),
        "fixed": ("-no-pie",),
    }.items():
        data = gcc(tmp_path, name, text, *options).read_bytes()
        assert holed(data) is None, name


def test_what_a_table_of_the_loader_covers_stays(tmp_path: Path) -> None:
    """Zeros in RELRO, in thread-local data or of another segment."""
    for section in ('.tdata,\\"awT\\"', '.data.rel.ro,\\"aw\\"'):
        data = made(tmp_path, section)
        assert holed(data) is None


def test_without_worthwhile_zeros_nothing_happens(tmp_path: Path) -> None:
    data = made(tmp_path)
    first = zeros_of(data)[0]
    assert holed(data, []) is None
    assert holed(data, [(first[0], first[0] + 30_000)]) is None
    assert holed(data, [(len(data) - 10, len(data) + 100_000)]) is None


@cache
def seed() -> tuple[bytes, tuple[tuple[int, int], ...]]:
    with TemporaryDirectory() as folder:
        data = made(Path(folder))
    return data, tuple(zeros_of(data))


@settings(max_examples=200, deadline=3000, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_files_are_left_alone_or_keep_their_memory(data: st.DataObject) -> None:
    original, zeros = seed()
    changed = bytearray(original)
    read = headers(original)
    places = [*range(16, 64), *range(read.phoff, read.phoff + read.phnum * HEAD.size)]
    places += range(read.shoff, read.shoff + read.shnum * 64)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(places))
        value = data.draw(
            st.sampled_from([b"\0", b"\1", b"\xff", b"\x10\0"]) | st.binary(min_size=1, max_size=4)
        )
        changed[place : place + len(value)] = value
    try:
        result = holed(bytes(changed), zeros)
    except (ElfError, AssertionError):
        return
    if result is None or _huge(bytes(changed)):
        return
    assert len(result) < len(original)
    assert_same_memory(bytes(changed), result)


def _huge(data: bytes) -> bool:
    """Whether a segment says that it takes more memory than a test should."""
    read = headers(data)
    heads = HEAD.iter_unpack(data[read.phoff : read.phoff + read.phnum * HEAD.size])
    return any(memsz > 1 << 22 for _, _, _, _, _, _, memsz, _ in heads)


@given(
    st.lists(st.tuples(st.sampled_from("clz"), st.integers(0, 20)), max_size=6),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20), st.binary(max_size=5)), max_size=6),
)
def test_edits_are_those_of_bytes(
    parts: list[tuple[str, int]], wanted: list[tuple[int, int, bytes]]
) -> None:
    original = bytes(range(256))
    pieces: list[Piece] = []
    whole = b""
    for n, (kind, length) in enumerate(parts):
        piece: Piece = Copy(n * 40, length) if kind == "c" else Literal(b"L" * length)
        piece = Zeros(length) if kind == "z" else piece
        pieces.append(piece)
        whole += _bytes(original, piece)
    edits: list[Edit] = []
    expected, place = b"", 0
    for gap, length, new in wanted:
        start = place + gap
        if start + length > len(whole):
            break
        edits.append(Edit(start, start + length, (Literal(new),)))
        expected += whole[place:start] + new
        place = start + length
    expected += whole[place:]
    assert b"".join(_bytes(original, piece) for piece in edited(pieces, edits)) == expected


def _bytes(original: bytes, piece: Piece) -> bytes:
    if isinstance(piece, Copy):
        return original[piece.offset : piece.offset + piece.length]
    return piece.data if isinstance(piece, Literal) else bytes(piece.length)
