"""Stripped files beside binutils, elfutils, patchelf, and real libraries of wheels."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from slimpack.elf.strip import Level
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.rattler.engine import RattlerEngine
from tests.elf.programs import (
    ANSWERS,
    PROGRAM,
    answers,
    apply,
    assert_mapped_bytes_are_kept,
    gcc,
    library,
    plan_of,
    strip,
)
from tests.support.channel import GLIBC, missing

BINUTILS: dict[Level, str] = {"debug": "--strip-debug", "symbols": "--strip-all"}
PATCHELF = Path(sysconfig.get_path("scripts")) / "patchelf"


def patched(folder: Path) -> Path:
    """A library to which patchelf had to append a segment, as in ``*.libs/`` of wheels."""
    lib = library(folder)
    soname = ("--set-soname", "libanswer-8f1e9814-a-rather-long-name.so.1.2.3")
    options = (*soname, "--force-rpath", "--set-rpath", "$ORIGIN/" + "../lib:$ORIGIN/" * 200)
    subprocess.run([PATCHELF, *options, lib], check=True)
    return lib


def complaints(path: Path) -> list[str]:
    done = subprocess.run(
        ["readelf", "-aW", path], capture_output=True, text=True, check=True, errors="replace"
    )
    lines = done.stderr.splitlines() + done.stdout.splitlines()
    return [line for line in lines if "arning" in line or "rror:" in line]


def lint(path: Path) -> list[str]:
    if shutil.which("eu-elflint") is None:
        missing("PEERS", "eu-elflint (Debian's elfutils) is not there")
    done = subprocess.run(
        ["eu-elflint", "--gnu-ld", path], capture_output=True, text=True, check=False
    )
    # Numbers of sections and symbols may change, kinds of faults may not.
    return sorted({re.sub(r"\d+", "N", line) for line in done.stdout.splitlines()} - {"No errors"})


@pytest.mark.parametrize("level", BINUTILS)
@pytest.mark.parametrize("linker", ["bfd", "gold"])
def test_as_small_as_binutils_strip_and_as_sound(tmp_path: Path, level: Level, linker: str) -> None:
    lib = library(tmp_path, "libanswer.so", f"-fuse-ld={linker}")
    ours, theirs = tmp_path / "ours.so", tmp_path / "theirs.so"
    strip(lib, level, ours)
    subprocess.run(["strip", BINUTILS[level], "-o", theirs, lib], check=True)
    assert ours.stat().st_size < theirs.stat().st_size * 1.03
    assert complaints(ours) == []
    assert set(lint(ours)) <= set(lint(lib))
    # binutils finds nothing more to drop, and can still read it.
    again = tmp_path / "again.so"
    subprocess.run(["strip", BINUTILS[level], "-o", again, ours], check=True)
    assert again.stat().st_size > ours.stat().st_size * 0.9


@pytest.mark.parametrize("close_gaps", [False, True])
@pytest.mark.parametrize("level", BINUTILS)
def test_a_library_that_patchelf_changed(tmp_path: Path, level: Level, close_gaps: bool) -> None:
    lib = patched(tmp_path)
    out = tmp_path / "out.so"
    plan = strip(lib, level, out, close_gaps=close_gaps)
    assert_mapped_bytes_are_kept(lib.read_bytes(), out.read_bytes(), moved=close_gaps)
    if close_gaps:
        assert plan.saved > 8192
    else:
        assert plan.zeroed > 8192
        assert plan.saved < 4096
    assert answers(lib) == answers(out) == ANSWERS
    assert complaints(out) == complaints(lib)
    assert set(lint(out)) <= set(lint(lib))
    # patchelf can change it once more.
    subprocess.run([PATCHELF, "--set-rpath", "/somewhere/else", out], check=True)
    assert answers(out) == ANSWERS


@pytest.mark.parametrize("close_gaps", [False, True])
def test_a_program_that_patchelf_changed(tmp_path: Path, close_gaps: bool) -> None:
    lib = library(tmp_path)
    for options in (("-no-pie",), ("-pie", "-fPIE")):
        program = gcc(tmp_path, "program", PROGRAM + "int pad[4000] = {1};\n", "-g3", str(lib),
                      *options)  # fmt: skip
        subprocess.run([PATCHELF, "--set-rpath", f"{tmp_path}:" + "/x" * 3000, program], check=True)
        out = tmp_path / "out"
        strip(program, "symbols", out, close_gaps=close_gaps)
        done = subprocess.run([out], capture_output=True, text=True, check=True)
        assert done.stdout == "hello 13\n"


@pytest.fixture(scope="module")
def numeric_prefix(
    channel: str, engine: RattlerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Python with SciPy and NumPy, whose libraries come from wheels; a copy to write to."""
    spec = EnvSpec("t", (channel,), ("python 3.11.*", "numpy", "scipy"))
    prefix = tmp_path_factory.mktemp("numeric") / "env"
    engine.install(engine.solve(spec, "linux-64", GLIBC), prefix)
    copy = prefix.with_name("copy")
    shutil.copytree(prefix, copy, symlinks=True)
    return copy


SUMS = """
import numpy, scipy.linalg, scipy.optimize, scipy.special, scipy.sparse.linalg, scipy.spatial
import numpy.random, ssl, sqlite3, ctypes, decimal
rng = numpy.random.default_rng(1)
a = rng.standard_normal((80, 80))
print(numpy.linalg.svd(a)[1].sum(), scipy.linalg.expm(a / 10).sum(), scipy.special.gamma(3.5))
print(scipy.optimize.minimize(lambda x: (x ** 2).sum(), [1.0, 2.0]).fun)
try:
    raise ValueError("unwinding still works")
except ValueError as error:
    print(error)
"""


@pytest.mark.channel
@pytest.mark.parametrize("close_gaps", [False, True])
def test_every_library_of_an_environment_with_wheels(
    numeric_prefix: Path, close_gaps: bool
) -> None:
    python = numeric_prefix / "bin" / "python3.11"

    def sums() -> str:
        return subprocess.run(
            [python, "-B", "-c", SUMS], capture_output=True, text=True, check=True
        ).stdout

    before = sums()
    planned, of_wheels = 0, 0
    for path in sorted(numeric_prefix.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        plan = plan_of(data, "symbols", close_gaps=close_gaps)
        if plan is None:
            continue
        result = apply(data, plan)
        assert_mapped_bytes_are_kept(data, result, moved=close_gaps)
        path.write_bytes(result)
        planned += 1
        of_wheels += ".libs/lib" in str(path)
    if not close_gaps:
        assert planned > 50
        assert of_wheels >= 1
    assert sums() == before
