"""Reading ELF files as the loader does."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from slimpack.elf.read import Elf, ElfError, read_elf
from tests.elf.builder import make_elf
from tests.elf.programs import gcc, library, read

FORMS = [(64, "<"), (64, ">"), (32, "<"), (32, ">")]


def parse(data: bytes) -> Elf | None:
    return read_elf(io.BytesIO(data), len(data), "lib/x.so")


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_every_class_and_byte_order(bits: int, order: str) -> None:
    elf = parse(
        make_elf(
            bits=bits,
            order=order,
            machine=21,
            soname="libx.so.1",
            needed=("libc.so.6", "libm.so.6"),
            rpath="$ORIGIN/../lib:/a",
            runpath="$ORIGIN:",
            interpreter="/lib/ld.so.1",
            needs={"libc.so.6": (("GLIBC_2.34", 0), ("GLIBC_2.38", 2)), "libm.so.6": (("M", 0),)},
            defs=("libx.so.1", "X_1.0", "X_2.0"),
            flags_1=0x800,
            extra=((".debug_info", 1, b"x" * 100), (".comment", 1, b"y")),
        )
    )
    assert elf == Elf(
        bits=bits,
        byteorder="little" if order == "<" else "big",
        machine="ppc64le" if order == "<" else "ppc64",
        kind="shared",
        soname="libx.so.1",
        needed=("libc.so.6", "libm.so.6"),
        rpath=("$ORIGIN/../lib", "/a"),
        runpath=("$ORIGIN", ""),
        interpreter="/lib/ld.so.1",
        version_needs={"libc.so.6": ("GLIBC_2.34",), "libm.so.6": ("M",)},
        version_defs=("X_1.0", "X_2.0"),
        no_default_paths=True,
    )


def test_sections_are_not_needed() -> None:
    elf = parse(make_elf(soname="a", needed=("b",), section_table=False))
    assert elf is not None
    assert (elf.soname, elf.needed) == ("a", ("b",))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"kind": 2}, "executable"),
        ({"kind": 3}, "shared"),
        ({"kind": 3, "flags_1": 0x08000000}, "executable"),
        ({"kind": 3, "interpreter": "/ld"}, "executable"),
        ({"kind": 3, "interpreter": "/ld", "soname": "libc.so.6"}, "shared"),
        ({"kind": 1}, "relocatable"),
        ({"kind": 4}, "core"),
    ],
)
def test_kinds(fields: dict[str, object], kind: str) -> None:
    elf = parse(make_elf(**fields))  # type: ignore[arg-type]
    assert elf is not None
    assert elf.kind == kind


def test_other_files_are_none() -> None:
    for data in (b"", b"\x7fEL", b"#!/bin/sh\n", b"INPUT(-lfoo)"):
        assert parse(data) is None


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (4, b"\3", "unknown class"),
        (16, b"\x63\0", "type 99"),
        (32, struct.pack("<Q", 1 << 40), "table of program headers is not inside"),
        (52, b"\1\0", "wrong size"),
        (56, b"\xff\xff", "unknown form"),
        (64 + 56 + 8, struct.pack("<Q", 1 << 63), "dynamic segment is not inside"),
        (64 + 56 + 32, struct.pack("<Q", 1 << 20), "dynamic segment is too long"),
        (64 + 16, struct.pack("<Q", 1 << 50), "is in no segment"),
    ],
)
def test_damage_is_named(place: int, value: bytes, why: str) -> None:
    data = bytearray(make_elf(needed=("libc.so.6",)))
    data[place : place + len(value)] = value
    with pytest.raises(ElfError, match=rf"lib/x\.so: damaged ELF file: .*{why}"):
        parse(bytes(data))


@pytest.mark.parametrize("length", range(4, 170, 7))
def test_truncated_files_are_damaged(length: int) -> None:
    with pytest.raises(ElfError):
        parse(make_elf(needed=("libc.so.6",))[:length])


def test_endless_versions_are_refused() -> None:
    data = make_elf(needs={"l": (("v", 0),)})
    at = data.index(struct.pack("<HHI", 1, 1, 1)[:4], 176)
    loop = bytearray(data)
    loop[at + 2 : at + 4] = b"\xff\xff"
    with pytest.raises(ElfError, match="too many versions"):
        parse(bytes(loop))


def test_many_long_names_are_refused() -> None:
    data = make_elf(needed=("x" * 4000,) * 1200)
    with pytest.raises(ElfError, match="names are too long"):
        parse(data)


def test_what_gcc_makes(tmp_path: Path) -> None:
    lib = library(tmp_path)
    main = gcc(
        tmp_path, "main", 'int answer(int); int main(void) { return answer(1) == 0; }',
        *(str(lib), "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags", "-pie", "-fPIE"),
    )  # fmt: skip
    elf = read(main)
    assert (elf.kind, elf.needed, elf.runpath) == (
        *("executable", ("libanswer.so", "libc.so.6"), ("$ORIGIN",)),
    )
    assert "ld-linux" in elf.interpreter or "ld" in elf.interpreter
    assert any(name.startswith("GLIBC_2.") for name in elf.version_needs["libc.so.6"])
    assert read(lib).soname == "libanswer.so"


def test_agrees_with_readelf_on_a_library_with_versions(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("V_1 { global: answer; };\nV_2 { global: greeting; } V_1;\n")
    lib = library(tmp_path, "libanswer.so", f"-Wl,--version-script,{tmp_path / 'map'}")
    assert read(lib).version_defs == ("V_1", "V_2")
    shown = subprocess.run(
        ["readelf", "-dW", lib], capture_output=True, text=True, check=True
    ).stdout
    for name in read(lib).needed:
        assert f"[{name}]" in shown
