"""Programs and libraries that gcc makes, and ways to look at them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from slimpack.elf.headers import Headers, Source, read_headers
from slimpack.elf.read import Elf, read_elf
from slimpack.elf.strip import Level, StripPlan, strip_plan
from slimpack.elf.stripped import stripped

LIBRARY = """
#include <stdio.h>
#include <string.h>
static int table[1000] = {1, 2, 3};
__thread int counter = 7;
static int helper_with_a_long_name(int x) { return x * 3 + table[1]; }
int answer(int x) { counter++; return helper_with_a_long_name(x) + counter; }
const char *greeting(void) { return "hello"; }
""" + "".join(
    f"int exported_function_number_{n}(int x) {{ return x + {n}; }}\n"
    f"static int local_function_number_{n}(int x) {{ return x ^ {n}; }}\n"
    f"int (*pointer_{n})(int) = local_function_number_{n};\n"
    for n in range(150)
)
PROGRAM = """
#include <stdio.h>
int answer(int);
const char *greeting(void);
int main(int argc, char **argv) { printf("%s %d\\n", greeting(), answer(argc)); return 0; }
"""


def gcc(folder: Path, output: str, source: str, *options: str, compiler: str = "gcc") -> Path:
    """Compile C text to `folder`/`output`."""
    target = folder / output
    target.parent.mkdir(parents=True, exist_ok=True)
    code = folder / (target.name + ".c")
    code.write_text(source)
    subprocess.run([compiler, "-o", str(target), str(code), *options], check=True, cwd=folder)
    return target


def library(folder: Path, output: str = "libanswer.so", *options: str) -> Path:
    """Compile `LIBRARY` with debug information."""
    shared = ("-g", "-O1", "-shared", "-fPIC", "-Wl,-soname,libanswer.so")
    return gcc(folder, output, LIBRARY, *shared, *options)


def answers(path: Path) -> str:
    """What a library made of `LIBRARY` answers, opened in a process of its own."""
    code = (
        "import ctypes, sys; lib = ctypes.CDLL(sys.argv[1]); "
        "print(lib.answer(1), lib.answer(1), lib.exported_function_number_149(1))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    ).stdout


ANSWERS = "13 14 150\n"


def read(path: Path) -> Elf:
    """Read a file that is ELF."""
    with path.open("rb") as stream:
        elf = read_elf(stream, path.stat().st_size, path.name)
    assert elf is not None
    return elf


def headers(data: bytes) -> Headers:
    """Read the tables of a file in memory."""
    found = read_headers(Source(io.BytesIO(data), len(data), "file"))
    assert found is not None
    return found


def plan_of(data: bytes, level: Level, *, close_gaps: bool = False) -> StripPlan | None:
    """Plan for a file in memory."""
    return strip_plan(io.BytesIO(data), len(data), level, close_gaps=close_gaps)


def apply(data: bytes, plan: StripPlan) -> bytes:
    """Carry out a plan."""
    with stripped(io.BytesIO(data), plan) as stream:
        result = stream.read()
    assert len(result) == plan.new_size
    return result


def strip(path: Path, level: Level, target: Path, *, close_gaps: bool = False) -> StripPlan:
    """Strip a file that can be stripped, with its mode."""
    data = path.read_bytes()
    plan = plan_of(data, level, close_gaps=close_gaps)
    assert plan is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(apply(data, plan))
    target.chmod(path.stat().st_mode & 0o777)
    return plan


def assert_mapped_bytes_are_kept(before: bytes, after: bytes, *, moved: bool = False) -> None:
    """Every segment has its bytes, at its offset unless segments may move."""
    old, new = headers(before), headers(after)
    assert old.phnum == new.phnum
    assert moved or old.segments == new.segments
    for one, two in zip(old.segments, new.segments, strict=True):
        assert (one.type, one.vaddr, one.filesz, one.align) == (
            *(two.type, two.vaddr, two.filesz, two.align),
        )
        assert (one.offset - two.offset) % 4096 == 0
        assert _masked(old, before, one.offset, one.end, moved) == _masked(
            new, after, two.offset, two.end, moved
        )
    first, second = (
        _masked(old, before, 0, old.ehsize, moved),
        _masked(new, after, 0, new.ehsize, moved),
    )
    assert first == second


def _masked(found: Headers, data: bytes, start: int, end: int, moved: bool) -> bytes:
    """Bytes without the numbers that lead to the section headers (and p_offset)."""
    copy = bytearray(data)
    word = found.bits // 8
    copy[24 + 2 * word : 24 + 3 * word] = bytes(word)
    copy[found.ehsize - 4 : found.ehsize] = bytes(4)
    if moved:
        for n in range(found.phnum):
            at = found.phoff + n * found.phentsize + (8 if found.bits == 64 else 4)
            copy[at : at + word] = bytes(word)
    return bytes(copy[start:end])
