"""Reading and changing ELF files, on small programs that gcc makes here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.channel import elf, frozen
from benchmarks.channel.errors import ChannelError

# What CPython's Include/cpython/import.h declares, and how the interpreter searches it.
FROZEN = """
#include <stdio.h>
#include <string.h>
struct _frozen { const char *name; const unsigned char *code; int size; int is_package;
                 void *(*get_code)(void); };
static const unsigned char os_code[] = "os", site_code[] = "site";
static void *get(void) { return 0; }
static const struct _frozen stdlib_modules[] = {
    {"os", os_code, 2, 0, get}, {"site", site_code, 4, 0, get}, {0, 0, 0, 0, 0}};
const struct _frozen *_PyImport_FrozenStdlib = stdlib_modules;
int main(void) {
    for (const struct _frozen *p = _PyImport_FrozenStdlib; p->name; p++)
        printf("%s:%s:%d\\n", p->name, p->code, p->size);
    return 0;
}
"""


def gcc(folder: Path, source: str, output: str, *options: str) -> Path:
    (folder / "source.c").write_text(source)
    target = folder / output
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["gcc", "-o", str(target), str(folder / "source.c"), *options], check=True, cwd=folder
    )
    return target


@pytest.mark.parametrize("options", [("-no-pie",), ("-pie", "-fPIE")])
def test_a_frozen_module_is_taken_out(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = gcc(tmp_path, FROZEN, "program", "-rdynamic", *options)
    before = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert before == "os:os:2\nsite:site:4\n"
    frozen.thaw_file(program, "site")
    after = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert after == "os:os:2\nos:os:2\n"
    with pytest.raises(ChannelError, match="site is not frozen"):
        frozen.thaw_file(program, "site")


def test_a_program_without_the_table_is_an_error(tmp_path: Path) -> None:
    program = gcc(tmp_path, "int main(void) { return 0; }", "program")
    with pytest.raises(ChannelError, match="no table of frozen modules"):
        frozen.thaw_file(program, "site")


def test_needs_names_and_search_paths_are_read(tmp_path: Path) -> None:
    inner = gcc(
        tmp_path, "int inner(void) { return 1; }", "lib/libinner.so.1",
        *("-shared", "-fPIC", "-Wl,-soname,libinner.so.1"),
    )  # fmt: skip
    program = gcc(
        tmp_path, "int inner(void); int main(void) { return inner() - 1; }", "bin/program",
        *(str(inner), "-Wl,-rpath,/somewhere"),
    )  # fmt: skip
    dynamic = elf.read_dynamic(program)
    assert "libinner.so.1" in dynamic.needed
    assert dynamic.foreign == {"libinner.so.1"}
    assert dynamic.rpath == "/somewhere"
    assert elf.read_dynamic(inner).soname == "libinner.so.1"
    assert [p.name for p in elf.elf_files(tmp_path)] == ["program", "libinner.so.1"]
    # Found beside it, so nothing has to come from another package.
    assert elf.foreign_sonames(tmp_path) == frozenset()
    inner.unlink()
    assert elf.foreign_sonames(tmp_path) == {"libinner.so.1"}


def test_object_files_need_nothing(tmp_path: Path) -> None:
    program = gcc(tmp_path, "int x;", "x.o", "-c")
    assert elf.read_dynamic(program) == elf.Dynamic()


def test_folders_of_other_wheels_leave_the_search_path(tmp_path: Path) -> None:
    path = tmp_path / "lib/python3.11/site-packages/p/lib/libp.so"
    (path.parent / "inner").mkdir(parents=True)
    for entry in ("/somewhere", "$ORIGIN", "$ORIGIN/inner", "$ORIGIN/.."):
        assert elf.leads_somewhere(entry, path), entry
    for entry in ("", "$ORIGIN/../../nvidia/cu13/lib"):
        assert not elf.leads_somewhere(entry, path), entry
