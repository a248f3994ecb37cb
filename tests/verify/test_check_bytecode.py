"""Bytecode that fits and bytecode that does not; with real code of this interpreter, too."""

from __future__ import annotations

import os
import py_compile
import sys
from pathlib import Path
from typing import Any

import pytest

from slimpack.verify.checks.bytecode import MAGIC as KNOWN
from slimpack.verify.checks.bytecode import magic_number
from slimpack.verify.context import Context
from slimpack.verify.model import SkippedError
from slimpack.verify.subject import Python, Subject
from tests.verify.subjects import (
    HOST_MAGIC,
    MAGIC,
    SITE,
    Mode,
    check,
    findings,
    on_host,
    pyc,
    subject,
)

SOURCE = b"x = 1\n"
CACHED = f"{SITE}/__pycache__/mod.cpython-311.pyc"


def made(tmp_path: Path, bytecode: bytes, **files: Any) -> Subject:
    on = subject(tmp_path, {f"{SITE}/mod.py": SOURCE, CACHED: bytecode, **files}, python=True)
    os.utime(tmp_path / "root" / f"{SITE}/mod.py", (1000, 1000))
    return on


@pytest.mark.parametrize(
    "bytecode",
    [pyc(SOURCE, flags=1), pyc(SOURCE, flags=3), pyc(SOURCE, flags=0, mtime=1000)],
    ids=["unchecked", "checked", "timestamp"],
)
def test_bytecode_that_fits(tmp_path: Path, bytecode: bytes) -> None:
    assert findings("bytecode", made(tmp_path, bytecode)) == []


@pytest.mark.parametrize(
    ("bytecode", "message"),
    [
        (pyc(SOURCE, magic=b"\x6f\x0d\r\n"), "is for another Python (magic number 3439, not 3495)"),
        (pyc(b"y = 2\n"), "does not belong to its source (mod.py): Python runs the old"),
        (pyc(b"y = 2\n", flags=3), "Python compiles it again at each start"),
        (pyc(SOURCE, flags=0, mtime=999), "is older or newer than its source"),
        (pyc(SOURCE + b"#", flags=0, mtime=1000), "is older or newer than its source"),
        (pyc(SOURCE, flags=4), "has unknown flags (0x4)"),
        (b"", "is cut off"),
        (MAGIC, "is cut off"),
    ],
)
def test_bytecode_that_does_not_fit(tmp_path: Path, bytecode: bytes, message: str) -> None:
    ((severity, path, found),) = findings("bytecode", made(tmp_path, bytecode))
    assert (severity, path) == ("error", CACHED)
    assert message in found


def test_bytecode_in_place_of_its_source(tmp_path: Path) -> None:
    old = pyc(SOURCE, magic=b"\x6f\x0d\r\n")
    files = {f"{SITE}/a.pyc": pyc(SOURCE), f"{SITE}/b.pyc": old, f"{SITE}/not-a-name.pyc": old}
    found = findings("bytecode", subject(tmp_path, files, python=True))
    assert [one[:2] for one in found] == [("error", f"{SITE}/b.pyc")]


def test_what_python_never_looks_at(tmp_path: Path) -> None:
    files = {
        f"{SITE}/__pycache__/mod.cpython-310.pyc": b"old",
        f"{SITE}/__pycache__/gone.cpython-311.pyc": b"" + MAGIC + bytes(12),
        "app/data.pyc": b"data",
    }
    assert findings("bytecode", subject(tmp_path, files, python=True)) == []


def test_without_python_it_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match="no Python"):
        list(check("bytecode").run(subject(tmp_path, {}), Context()))


def test_the_table_knows_this_interpreter(tmp_path: Path) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert KNOWN[version] == int.from_bytes(HOST_MAGIC[:2], "little")
    python = Python("bin/python3", version, f"lib/python{version}")
    on = subject(tmp_path, {}, kind="prefix")
    assert magic_number(on, python, Context()) == HOST_MAGIC
    with pytest.raises(SkippedError, match=r"Python 3\.99"):
        magic_number(on, Python("bin/python3", "3.99", "lib/python3.99"), Context())


def test_the_interpreter_itself_is_asked(tmp_path: Path) -> None:
    program = Mode(0o755, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    on = subject(tmp_path, {"bin/python3.99": program}, kind="prefix")
    python = Python("bin/python3.99", "3.99", "lib/python3.99")
    assert magic_number(on, python, on_host(on)) == HOST_MAGIC


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_what_python_writes_is_right_until_the_source_changes(
    tmp_path: Path, mode: py_compile.PycInvalidationMode
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    library = f"lib/python{version}"
    files = {
        f"bin/python{version}": Mode(0o755, "#!/bin/sh\n"),
        f"{library}/os.py": "",
        f"{library}/site-packages/mod.py": "x = 1\n",
    }
    source = tmp_path / "root" / library / "site-packages/mod.py"
    subject(tmp_path, files, kind="prefix")
    py_compile.compile(str(source), invalidation_mode=mode, doraise=True)
    assert findings("bytecode", subject(tmp_path, {}, kind="prefix")) == []
    status = source.stat()
    source.write_text("x = 2;\n")
    os.utime(source, (status.st_atime, status.st_mtime))
    assert len(findings("bytecode", subject(tmp_path, {}, kind="prefix"))) == 1
