from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slimpack.slim.bytecode import add_bytecode
from slimpack.slim.ruleset import Rule, Rules
from slimpack.slim.shrink import shrink
from slimpack.slim.slimming import Scope
from slimpack.tree import Entry, Tree, bytes_entry, file_entry
from tests.elf.programs import answers, library

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/{VERSION}/site-packages"
BYTECODE_ONLY = Rule("bytecode-only", "r", action="bytecode-only", paths=("lib/python*",))
DEBUG = Rule("debug", "r", action="strip-debug")
SYMBOLS = Rule("symbols", "r", action="strip-symbols")


def compiled(entries: list[Entry], scratch: Path) -> Tree:
    scratch.mkdir()
    tag = sys.implementation.cache_tag
    return add_bytecode(Tree(entries), python=[Path(sys.executable)], tag=tag, scratch=scratch)[0]


def scope(**graph: tuple[str, ...]) -> Scope:
    return Scope(prefix="", graph=graph)


def write(tree: Tree, folder: Path) -> None:
    for entry in tree:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.read())


SOURCES = {
    f"{SITE}/p/__init__.py": "from p import q\n",
    f"{SITE}/p/q.py": "def f():\n    '''doc'''\n    raise ValueError('x')\n",
    f"{SITE}/p/__main__.py": "import p\nprint('main', p.q.__file__)\n",
    "share/script.py": "print(1)\n",
}


def test_bytecode_runs_without_its_sources(tmp_path: Path) -> None:
    tree = compiled(
        [bytes_entry(path, text.encode(), owner="p") for path, text in SOURCES.items()],
        tmp_path / "scratch",
    )
    small, changes = shrink(tree, Rules((BYTECODE_ONLY,)), scope(p=()))
    # Nothing imports a script by its name.
    assert {entry.path for entry in small if entry.path.endswith(".py")} == {"share/script.py"}
    assert sorted(change.path for change in changes) == sorted(SOURCES)[:3]
    assert sum(change.bytes for change in changes) == tree.size - small.size
    write(small, tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-I", "-c",
         f"import sys; sys.path.insert(0, {str(tmp_path / 'out' / SITE)!r})\n"
         "import traceback, runpy, p\n"
         "try: p.q.f()\n"
         "except ValueError: print(traceback.format_exc())\n"
         "runpy.run_module('p', run_name='__main__')"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f'/{SITE}/p/q.py", line 3, in f' in done.stdout
    assert f"main {tmp_path}/out/{SITE}/p/q.pyc" in done.stdout


def test_sources_that_somebody_reads_stay(tmp_path: Path) -> None:
    entries = [
        bytes_entry(f"{SITE}/{name}/__init__.py", b"x = 1\n", owner=name)
        for name in ("numba", "user", "other")
    ]
    rule = Rule("b", "r", action="bytecode-only", paths=("lib/python*",), spare=("numba",))
    graph: dict[str, tuple[str, ...]] = {"numba": (), "user": ("numba",), "other": ()}
    small, _ = shrink(compiled(entries, tmp_path / "s"), Rules((rule,)), scope(**graph))
    assert {entry.path for entry in small if entry.path.endswith(".py")} == {
        f"{SITE}/numba/__init__.py", f"{SITE}/user/__init__.py",
    }  # fmt: skip


def test_a_source_without_bytecode_stays(tmp_path: Path) -> None:
    tree = compiled([bytes_entry(f"{SITE}/bad.py", b"def (", owner="p")], tmp_path / "s")
    small, changes = shrink(tree, Rules((BYTECODE_ONLY,)), scope(p=()))
    assert [entry.path for entry in small] == [f"{SITE}/bad.py"]
    assert not changes


def test_bytecode_never_replaces_a_file_that_is_there(tmp_path: Path) -> None:
    entries = [
        bytes_entry(f"{SITE}/m.py", b"x = 1\n", owner="p"),
        bytes_entry(f"{SITE}/m.pyc", b"somebody's", owner="p"),
    ]
    small, changes = shrink(compiled(entries, tmp_path / "s"), Rules((BYTECODE_ONLY,)), scope(p=()))
    assert small[f"{SITE}/m.pyc"].read() == b"somebody's"
    assert f"{SITE}/m.py" in small
    assert not changes


@pytest.mark.parametrize("on_disk", [True, False])
def test_elf_files_lose_what_no_loader_maps(tmp_path: Path, on_disk: bool) -> None:
    original = library(tmp_path)
    entry = file_entry("lib/libx.so", original, owner="p")
    text = bytes_entry("lib/notes.so", b"no ELF file", owner="p")
    known = {"lib/libx.so": original} if on_disk else {}
    where = Scope("", {"p": ()}, on_disk=lambda entry: known.get(entry.path))
    small, changes = shrink(Tree([entry, text]), Rules((DEBUG, SYMBOLS)), where)
    assert small["lib/notes.so"].read() == b"no ELF file"
    assert [change.rule for change in changes] == ["debug", "symbols"]
    assert not any(change.removed for change in changes)
    assert sum(change.bytes for change in changes) == entry.size - small["lib/libx.so"].size
    data = small["lib/libx.so"].read()
    assert len(data) == small["lib/libx.so"].size
    assert b".debug_info" in original.read_bytes()
    assert b".debug_info" not in data
    out = tmp_path / "out.so"
    out.write_bytes(data)
    assert answers(out) == answers(original)


def test_debug_sections_alone(tmp_path: Path) -> None:
    tree = Tree([file_entry("lib/libx.so", library(tmp_path), owner="p")])
    small, changes = shrink(tree, Rules((DEBUG,)), scope(p=()))
    assert [change.rule for change in changes] == ["debug"]
    assert b".symtab" in small["lib/libx.so"].read()


def test_nothing_to_do_is_the_same_tree(tmp_path: Path) -> None:
    tree = Tree([file_entry("lib/libx.so", library(tmp_path), owner="p")])
    assert shrink(tree, Rules(()), scope(p=())) == (tree, ())
