from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import py_compile
import struct
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import InstallError
from slimpack.slim import pyc_worker
from slimpack.slim.bytecode import (
    BytecodeReport,
    add_bytecode,
    cache_tag,
    find_interpreter,
    interpreter_tag,
    source_of,
)
from slimpack.slim.compiled import Group, Outcome
from slimpack.tree import Entry, Tree, bytes_entry, content_identity, file_entry

TAG = sys.implementation.cache_tag
SOURCE = 'import os\nNAME = "x"\ndef f(a):\n    def g(): return a\n    return g\n'


def make(
    entries: list[Entry],
    scratch: Path,
    sources: dict[str, Path] | None = None,
    *,
    checked: bool = False,
) -> tuple[Tree, BytecodeReport]:
    scratch.mkdir()
    return add_bytecode(
        Tree(entries),
        python=[Path(sys.executable)],
        tag=TAG,
        scratch=scratch,
        scripts="bin",
        reusable=lambda entry: (sources or {}).get(entry.path),
        checked=checked,
    )


def code_of(data: bytes) -> CodeType:
    code = marshal.loads(data[16:])
    assert isinstance(code, CodeType)
    return code


def names(code: CodeType) -> set[str]:
    inner = (names(item) for item in code.co_consts if isinstance(item, CodeType))
    return {code.co_filename}.union(*inner)


def check(tree: Tree, path: str) -> None:
    """Check one .pyc as the import system would, and that its paths are the image's."""
    folder, _, name = path.rpartition("/")
    data = tree[f"{folder}/__pycache__/{name[:-3]}.{TAG}.pyc"].read()
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert struct.unpack("<I", data[4:8]) == (1,)
    assert data[8:16] == importlib.util.source_hash(tree[path].read())
    assert names(code_of(data)) == {f"/{path}"}


def shipped(folder: Path, source: str, compiled_as: str) -> tuple[list[Entry], dict[str, Path]]:
    """A module with timestamp bytecode, as a package brings it."""
    module = folder / "m.py"
    module.write_text(source)
    os.utime(module, (1_600_000_000, 1_600_000_000))
    cached = folder / "__pycache__" / f"m.{TAG}.pyc"
    py_compile.compile(str(module), cfile=str(cached), dfile=compiled_as, doraise=True)
    paths = {"lib/m.py": module, f"lib/__pycache__/m.{TAG}.pyc": cached}
    return [file_entry(name, path, owner="p") for name, path in paths.items()], paths


def test_compiles_what_has_none(tmp_path: Path) -> None:
    tree, report = make([bytes_entry("lib/m.py", SOURCE.encode(), owner="p")], tmp_path / "s")
    check(tree, "lib/m.py")
    assert (report.compiled, report.kept, report.moved, report.failed) == (1, 0, 0, ())
    assert tree[f"lib/__pycache__/m.{TAG}.pyc"].owner == "p"


def test_keeps_shipped_bytecode_byte_for_byte(tmp_path: Path) -> None:
    entries, paths = shipped(tmp_path, SOURCE, "/lib/m.py")
    tree, report = make(entries, tmp_path / "s", paths)
    check(tree, "lib/m.py")
    assert report == BytecodeReport(kept=1)
    cached = f"lib/__pycache__/m.{TAG}.pyc"
    assert tree[cached].read()[16:] == paths[cached].read_bytes()[16:]


@pytest.mark.parametrize(
    "old", ["/build/_placehold_placehold_" + "x" * 250 + "/lib/m.py", "lib/m.py", "/bäu/m.py"]
)
def test_moves_shipped_bytecode_to_the_image_path(tmp_path: Path, old: str) -> None:
    entries, paths = shipped(tmp_path, SOURCE, old)
    tree, report = make(entries, tmp_path / "s", paths)
    check(tree, "lib/m.py")
    assert report == BytecodeReport(moved=1)
    expected = compile(SOURCE, "/lib/m.py", "exec", dont_inherit=True)
    assert code_of(tree[f"lib/__pycache__/m.{TAG}.pyc"].read()) == expected


@pytest.mark.parametrize("fault", ["stale", "truncated", "garbage", "rewritten", "checked"])
def test_does_not_trust_bytecode_that_python_would_not(tmp_path: Path, fault: str) -> None:
    entries, paths = shipped(tmp_path, "x = 1\n", "/lib/m.py")
    cached = paths[f"lib/__pycache__/m.{TAG}.pyc"]
    data = cached.read_bytes()
    if fault == "stale":
        os.utime(paths["lib/m.py"], (1, 1))
    elif fault == "truncated":
        cached.write_bytes(data[:30])
    elif fault == "garbage":
        cached.write_bytes(data[:16] + b"\xff" * 40)
    elif fault == "checked":
        cached.write_bytes(data[:4] + struct.pack("<I", 3) + data[8:])
    else:  # conda-pack changed the source: its bytecode is of another text
        entries[0] = bytes_entry("lib/m.py", b"x = 2\n", owner="p")
        del paths["lib/m.py"]
    if fault != "rewritten":
        entries[1] = file_entry(entries[1].path, cached, owner="p")
    tree, report = make(entries, tmp_path / "s", paths)
    check(tree, "lib/m.py")
    assert (report.compiled, report.dropped) == (1, 1)


def test_drops_what_python_would_never_load(tmp_path: Path) -> None:
    useless = [
        f"lib/__pycache__/m.{TAG}.opt-1.pyc",
        "lib/__pycache__/m.cpython-27.pyc",
        f"lib/__pycache__/orphan.{TAG}.pyc",
    ]
    entries = [bytes_entry("lib/m.py", b"x = 1\n")] + [bytes_entry(n, b"?") for n in useless]
    sourceless = bytes_entry("lib/only.pyc", b"sourceless distribution")
    tree, report = make([*entries, sourceless], tmp_path / "s")
    assert not any(name in tree for name in useless)
    assert "lib/only.pyc" in tree
    assert report.dropped == 3


def test_reports_what_cannot_be_compiled(tmp_path: Path) -> None:
    entries = [bytes_entry("lib/bad.py", b"print 'x'\n"), bytes_entry("lib/nul.py", b"\0")]
    tree, report = make([*entries, bytes_entry("bin/script.py", b"x = 1\n")], tmp_path / "s")
    assert [path for path, _ in report.failed] == ["/lib/bad.py", "/lib/nul.py"]
    assert "SyntaxError" in report.failed[0][1]
    assert len(tree) == 3


def test_one_package_does_not_change_the_bytecode_of_another(tmp_path: Path) -> None:
    """marshal's output depends on interned strings: packages must not share a process."""
    mine = bytes_entry("a/m.py", b"alpha = 1\ndef beta(gamma): return alpha\n", owner="a")
    other = bytes_entry("b/m.py", b"alpha = gamma = beta = delta = 2\n" * 50, owner="b")
    alone, _ = make([mine], tmp_path / "1")
    together, _ = make([mine, other], tmp_path / "2")
    cached = f"a/__pycache__/m.{TAG}.pyc"
    assert alone[cached].read() == together[cached].read()


def test_same_bytes_in_every_process_and_environment(tmp_path: Path) -> None:
    entries = [bytes_entry(f"p/m{n}.py", SOURCE.encode() * n, owner="p") for n in range(1, 6)]
    first, _ = make(entries, tmp_path / "1")
    os.environ["SLIMPACK_TEST_NOISE"] = "alpha beta"
    try:
        second, _ = make(entries, tmp_path / "a-longer-name")
    finally:
        del os.environ["SLIMPACK_TEST_NOISE"]
    assert [e.read() for e in first] == [e.read() for e in second]


def test_python_imports_it_without_looking_at_the_source(tmp_path: Path) -> None:
    tree, _ = make([bytes_entry("m.py", b"x = 42\n")], tmp_path / "s")
    root = tmp_path / "root"
    for entry in tree:
        path = root / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.read())
    (root / "m.py").write_text("x = 'the source was compiled again'\n")
    done = subprocess.run(
        [sys.executable, "-c", "import m; print(m.x, m.__file__)"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("42 ")


def test_checked_bytecode_notices_an_edited_source(tmp_path: Path) -> None:
    tree, _ = make([bytes_entry("m.py", b"x = 42\n")], tmp_path / "s", checked=True)
    (cached,) = (entry for entry in tree if entry.path.endswith(".pyc"))
    assert struct.unpack("<I", cached.read()[4:8]) == (3,)
    (tmp_path / "m.py").write_text("x = 43\n")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / cached.path).write_bytes(cached.read())
    done = subprocess.run(
        [sys.executable, "-B", "-c", "import m; print(m.x)"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"43\n"


def test_bytecode_of_an_archive_of_ours_is_used_again(tmp_path: Path) -> None:
    tree, _ = make([bytes_entry("lib/m.py", SOURCE.encode())], tmp_path / "one", checked=True)
    paths = {}
    for entry in tree:
        paths[entry.path] = tmp_path / entry.path.replace("/", "-")
        paths[entry.path].write_bytes(entry.read())
    entries = [file_entry(name, path) for name, path in paths.items()]
    again, report = make(entries, tmp_path / "two", paths)
    check(again, "lib/m.py")
    assert report == BytecodeReport(kept=1)
    paths["lib/m.py"].write_text(SOURCE.replace("x", "y"))
    entries = [file_entry(name, path) for name, path in paths.items()]
    _, report = make(entries, tmp_path / "three", paths)
    assert (report.compiled, report.dropped) == (1, 1)


def test_a_folder_of_modules_may_be_called_bin(tmp_path: Path) -> None:
    tree, _ = make([bytes_entry("lib/bin/m.py", b"x = 1\n")], tmp_path / "s")
    check(tree, "lib/bin/m.py")


def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "types", "typing", "operator", "struct"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')\n")
    monkeypatch.chdir(tmp_path)
    tree, _ = make([bytes_entry("lib/m.py", b"x = 1\n")], tmp_path / "s")
    check(tree, "lib/m.py")


def test_needs_an_interpreter_of_that_version(tmp_path: Path) -> None:
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    assert find_interpreter([tmp_path / "none", silent, Path(sys.executable)], TAG)
    with pytest.raises(InstallError, match="no interpreter here can write bytecode for cpython-99"):
        find_interpreter([Path(sys.executable)], "cpython-99")
    assert interpreter_tag("3.11.2") == "cpython-311"
    assert cache_tag(Path(sys.executable)) == TAG


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a/__pycache__/m.cpython-311.pyc", "a/m.py"),
        ("a/__pycache__/m.x.cpython-313t.opt-2.pyc", "a/m.x.py"),
        ("a/__pycache__/m.pypy39.pyc", "a/m.py"),
        ("a/m.pyc", ""),
        ("a/__pycache__/m.pyc", ""),
        ("a/__pycache__/b/m.cpython-311.pyc", ""),
    ],
)
def test_which_source_a_pyc_belongs_to(path: str, source: str) -> None:
    assert source_of(path) == source


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (
        Path(pyc_worker.__file__)
        .read_text()
        .replace(
            'with open(os.path.join(out, str(group[0][0])), "wb")', 'with open("/dev/full", "wb")'
        )
    )
    monkeypatch.setattr(Path, "read_text", lambda self, **_: broken)
    with pytest.raises(InstallError, match="compiling bytecode failed") as caught:
        make([bytes_entry("m.py", b"x = 1\n" * 9999)], tmp_path / "s")
    assert "No space left" in caught.value.details


def test_the_bytecode_of_a_package_is_one_file(tmp_path: Path) -> None:
    """Thousands of small files take longer to make than to fill where a disk is slow at that."""
    scratch = tmp_path / "s"
    sources = [
        bytes_entry(f"p/{name}.py", b"x = 1\n", owner=name[0]) for name in ("a1", "a2", "b1")
    ]
    tree, _ = make([*sources, bytes_entry("p/a3.py", b"x = (\n", owner="a")], scratch)
    made = [entry for entry in tree if entry.path.endswith(".pyc")]
    assert len(made) == 3
    for entry in made:
        assert code_of(entry.read()).co_filename == f"/{source_of(entry.path)}"
        assert entry.identity == content_identity(hashlib.sha256(entry.read()).hexdigest())
    assert sum(path.is_file() for path in scratch.iterdir()) == 2


def test_bytecode_that_was_cut_off_is_no_bytecode(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"12345")
    group = Group(tmp_path, "a", {0: "m.pyc", 1: "n.pyc"})
    whole, longer = Outcome("compiled", "", 0, 3), Outcome("compiled", "", 3, 3)
    with pytest.raises(InstallError, match=r"the bytecode of /n\.pyc was cut off"):
        list(group.entries({0: whole, 1: longer}))
    failed = Outcome("failed", "SyntaxError", 3, 0)
    (entry,) = group.entries({0: whole, 1: failed})
    assert entry.read() == b"123"


FILE_NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300
)


@settings(deadline=None)
@given(old=FILE_NAMES, new=FILE_NAMES)
def test_renaming_changes_the_file_name_and_nothing_else(old: str, new: str) -> None:
    code = compile(SOURCE, "/q/" + old, "exec", dont_inherit=True)
    changed = pyc_worker.with_file_name(marshal.dumps(code), "/q/" + old, "/p/" + new)
    loaded = marshal.loads(changed)
    assert names(loaded) == {"/p/" + new}
    assert loaded == compile(SOURCE, "/p/" + new, "exec", dont_inherit=True)
