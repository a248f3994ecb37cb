"""Dropping sections: what goes, what stays, which files are left alone."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from slimpack.elf.headers import ElfError
from slimpack.elf.strip import Copy, Level, Zeros
from slimpack.elf.stripped import stripped
from tests.elf.builder import make_elf
from tests.elf.programs import (
    ANSWERS,
    LIBRARY,
    PROGRAM,
    answers,
    apply,
    assert_mapped_bytes_are_kept,
    gcc,
    headers,
    library,
    plan_of,
    strip,
)

LEVELS: tuple[Level, ...] = ("debug", "symbols")


def names(data: bytes) -> list[str]:
    return [name.decode() for name in headers(data).section_names]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "options", [("-pie", "-fPIE"), ("-no-pie",), ("-static",), ("-static-pie",)], ids="".join
)
def test_a_program_runs_as_before(tmp_path: Path, level: Level, options: tuple[str, ...]) -> None:
    source = LIBRARY + PROGRAM.replace("int answer(int);", "").replace(
        "const char *greeting(void);", ""
    )
    program = gcc(tmp_path, "program", source, "-g", *options)
    plan = strip(program, level, tmp_path / "out")
    before, after = (
        subprocess.run([file, "1"], capture_output=True, text=True, check=True).stdout
        for file in (program, tmp_path / "out")
    )
    assert before == after == "hello 16\n"
    assert_mapped_bytes_are_kept(program.read_bytes(), (tmp_path / "out").read_bytes())
    assert plan.saved > 4096
    assert plan.zeroed == 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_library_is_opened_as_before(tmp_path: Path, level: Level) -> None:
    lib = library(tmp_path)
    strip(lib, level, tmp_path / "stripped.so")
    assert answers(lib) == answers(tmp_path / "stripped.so") == ANSWERS
    gcc(tmp_path, "main", PROGRAM, str(tmp_path / "stripped.so"), f"-Wl,-rpath,{tmp_path}")


def test_what_goes_and_what_stays(tmp_path: Path) -> None:
    data = library(tmp_path).read_bytes()
    debug, symbols = (apply(data, found) for level in LEVELS if (found := plan_of(data, level)))
    assert not [name for name in names(debug) if name.startswith(".debug")]
    assert {".symtab", ".strtab", ".comment", ".dynsym", ".dynstr"} <= set(names(debug))
    assert {".comment", ".dynsym", ".dynstr", ".shstrtab"} <= set(names(symbols))
    assert not {".symtab", ".strtab"} & set(names(symbols))
    assert len(symbols) < len(debug) < len(data)
    # All that stays can be found: same bytes under the same name.
    for result in (debug, symbols):
        for name, section in zip(
            headers(result).section_names, headers(result).sections, strict=True
        ):
            if name not in (b"", b".shstrtab", b".symtab"):
                old = headers(data).sections[headers(data).section_names.index(name)]
                assert data[old.offset : old.end] == result[section.offset : section.end], name


def test_symbols_follow_their_sections(tmp_path: Path) -> None:
    """Symbols of a section that goes go too; one of a section that moves up follows it."""
    script = tmp_path / "script"
    script.write_text("SECTIONS { .zlast 0 : { *(.zlast) } } INSERT AFTER .debug_line;")
    options = ("-g", "-shared", "-fPIC", "-fuse-ld=bfd", f"-Wl,-T,{script}")
    lib = gcc(tmp_path, "libanswer.so", LIBRARY + SYMBOLS, *options)
    data = lib.read_bytes()
    assert names(data).index(".zlast") > names(data).index(".debug_info")
    strip(lib, "debug", tmp_path / "out.so")
    before, after = symbols_of(lib), symbols_of(tmp_path / "out.so")
    assert before["in_last"] == after["in_last"] == ".zlast"
    assert before.pop("in_debug") == ".debug_mine"
    assert before.pop("global_in_debug") == ".debug_mine"
    assert before["local_function_number_149"] == ".text"
    assert before == after


SYMBOLS = """
__asm__(".section .debug_mine,\\"\\",@progbits\\nin_debug: .long 1\\n"
        ".global global_in_debug\\nglobal_in_debug: .long 2\\n"
        ".section .zlast,\\"\\",@progbits\\nin_last: .long 3\\n.text\\n");
"""


def symbols_of(path: Path) -> dict[str, str]:
    """Names in .symtab -> names of their sections, as readelf sees them."""
    done = subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    sections = names(path.read_bytes())
    table = done.stdout.partition("'.symtab'")[2]
    found = {}
    for line in table.splitlines()[2:]:
        fields = line.split()
        if len(fields) == 8 and fields[3] != "FILE":
            found[fields[7]] = sections[int(fields[6])] if fields[6].isdigit() else fields[6]
    return found


@pytest.mark.parametrize(("bits", "order"), [(64, "<"), (64, ">"), (32, "<"), (32, ">")])
def test_every_class_and_byte_order(bits: int, order: str) -> None:
    data = make_elf(bits=bits, order=order, needed=("libc.so.6",), machine=21)
    plan = plan_of(data, "debug")
    assert plan is not None
    result = apply(data, plan)
    assert_mapped_bytes_are_kept(data, result)
    assert names(result) == ["", ".dynstr", ".dynamic", ".shstrtab"]
    assert plan.dropped == (".debug_info",)
    assert plan_of(result, "symbols") is None


KEPT_AS_THEY_ARE = {
    "too little": make_elf(extra=((".debug_info", 1, b"x" * 4000),)),
    "relocatable": make_elf(kind=1),
    "core": make_elf(kind=4),
    "payload behind": make_elf() + b"payload",
    "large padding behind": make_elf() + bytes(100_000),
    "PyInstaller": make_elf(extra=((".debug_info", 1, b"x" * 9000), ("pydata", 1, b"x" * 100))),
    "no sections": make_elf(section_table=False) + b"x" * 9000,
    "no ELF": b"#!/bin/sh\n" + b"x" * 9000,
    "another machine": make_elf(machine=190),
    "groups": make_elf(extra=((".debug_info", 1, b"x" * 9000), (".group", 17, b"x" * 8))),
}


@pytest.mark.parametrize("case", KEPT_AS_THEY_ARE)
def test_left_alone(case: str) -> None:
    assert plan_of(KEPT_AS_THEY_ARE[case], "symbols") is None


def change(data: bytes, place: int, form: str, *values: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(form, copy, place, *values)
    return bytes(copy)


def section_at(data: bytes, name: str) -> int:
    return headers(data).shoff + 64 * names(data).index(name)


def test_left_alone_when_the_two_views_do_not_agree() -> None:
    data = make_elf()
    assert plan_of(data, "debug") is not None
    debug, dynamic = section_at(data, ".debug_info"), section_at(data, ".dynamic")
    section = headers(data).sections[names(data).index(".debug_info")]
    cases = {
        "in memory, and in no segment": change(data, debug + 8, "<Q", 2),
        "reaches into a segment": change(
            data, debug + 24, "<QQ", section.offset - 8, section.size + 8
        ),
        "not inside the file": change(data, debug + 32, "<Q", 1 << 40),
        "what stays needs it": change(data, dynamic + 40, "<I", names(data).index(".debug_info")),
        "another system": change(data, 7, "<B", 255),
        "names in memory": change(data, section_at(data, ".shstrtab") + 8, "<Q", 2),
    }
    for case, damaged in cases.items():
        assert plan_of(damaged, "debug") is None, case


def test_relocations_for_a_debugger_go_with_what_they_relocate(tmp_path: Path) -> None:
    lib = library(tmp_path, "libanswer.so", "-Wl,--emit-relocs")
    data = lib.read_bytes()
    assert ".rela.debug_info" in names(data)
    plan = plan_of(data, "symbols")
    assert plan is not None
    left = names(apply(data, plan))
    assert not [name for name in left if "debug" in name or name == ".rela.text"]
    assert ".rela.dyn" in left


def test_object_files_and_archives_are_left_alone(tmp_path: Path) -> None:
    data = gcc(tmp_path, "x.o", LIBRARY, "-c", "-g").read_bytes()
    assert plan_of(data, "symbols") is None


class Verifying(io.RawIOBase):
    """A stream that cannot seek and says when its last byte has been read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.verified = data, 0, False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        end = len(self.data) if size is None or size < 0 else self.position + min(size, 1000)
        part = self.data[self.position : end]
        self.position += len(part)
        self.verified = self.position == len(self.data)
        return part


@pytest.mark.parametrize("step", [1, 7, 4096, 10_000_000, -1])
def test_the_original_is_read_to_its_end_before_the_last_byte_is_given(step: int) -> None:
    data = make_elf(extra=((".comment", 1, b"c" * 50), (".debug_info", 1, b"x" * 9000)))
    plan = plan_of(data, "debug")
    assert plan is not None
    source = Verifying(data)
    with stripped(source, plan) as stream:  # type: ignore[arg-type]
        result = b""
        while len(result) < plan.new_size:
            part = stream.read(step)
            assert part
            assert source.verified or len(result) + len(part) < plan.new_size
            result += part
        assert stream.read(10) == b""
    assert result == apply(data, plan)
    assert source.closed


def test_an_original_that_became_shorter_is_an_error() -> None:
    data = make_elf()
    plan = plan_of(data, "debug")
    assert plan is not None
    for length in (10, 200, len(data) - 1):
        with pytest.raises(ElfError, match="shorter"):
            stripped(io.BytesIO(data[:length]), plan).read()


def test_pieces_rise_and_hold_what_the_plan_says() -> None:
    data = make_elf()
    plan = plan_of(data, "debug")
    assert plan is not None
    copies = [piece for piece in plan.pieces if isinstance(piece, Copy)]
    assert all(one.offset + one.length <= two.offset for one, two in zip(copies, copies[1:]))  # noqa: B905, RUF007
    assert sum(piece.length for piece in plan.pieces) == plan.new_size
    assert plan.size - plan.saved == plan.new_size
    assert sum(piece.length for piece in plan.pieces if isinstance(piece, Zeros)) < 16
