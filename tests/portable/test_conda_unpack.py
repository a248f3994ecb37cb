"""bin/conda-unpack, run as users do: by Pythons of any age, and by sh without any."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slimpack.portable.script import NAME, conda_unpack_script
from tests.portable.environments import FILES, LONG, SHORT, digests, expected, make, programs
from tests.portable.shells import PLAIN, USUAL, command

# All that the sh way needs.
TOOLS = [
    *("dirname", "readlink", "dd", "wc", "tr", "cp", "chmod", "touch", "ls", "mv", "rm"),
    *("mktemp", "cat", "mkdir", "printf", "test", "echo"),
]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH without Python."""
    return programs(tmp_path / "tools", TOOLS)


def unpack(
    runner: list[str], root: Path, tools: Path, *arguments: object, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*runner, str(root / NAME), *map(str, arguments)],
        env={"PATH": str(tools), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
    )


def python2() -> str | None:
    """A Python 2.7, if there is one: on PATH, or among pyenv's."""
    places = [shutil.which("python2.7"), shutil.which("python2")]
    places += map(str, sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7")))
    for path in filter(None, places):
        if not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode:
            return path
    return None


def runners() -> list[str]:
    """Every way to run it: two Pythons, and sh without Python."""
    return ["python", "python2", *(shell for shell in PLAIN if shell in USUAL)]


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> list[str]:
    name: str = request.param
    if name == "python":
        return [sys.executable, "-W", "error"]
    if name == "python2":
        old = python2()
        if old is None:
            pytest.skip("Python 2.7 is not installed")
        return [old, "-W", "error"]
    found = command(name)
    path = shutil.which(found[0])
    assert path is not None
    return [path, *found[1:]]


def state(root: Path) -> str:
    return (root / "conda-meta" / "unpacked-prefix").read_text()


@pytest.mark.parametrize("runner", ["python", "python2", *PLAIN], indirect=True)
def test_again_and_again(runner: list[str], tools: Path, tmp_path: Path) -> None:
    """Any number of moves, each way gives the same bytes as a first unpacking there."""
    root = make(tmp_path / "first")
    assert digests(root) == {path: expected(LONG)[path] for path in FILES} | {
        path: expected(SHORT)[path] for path, file in FILES.items() if file[1] == SHORT
    }
    for name in ("first", "ab", "a", "it's é $HOME"):
        moved = tmp_path / name
        if moved != root:
            root = root.rename(moved)
        done = unpack(runner, root, tools)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert digests(root) == expected(str(root))
        assert state(root) == f"{root}\n"


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_what_it_says(runner: list[str], tools: Path, tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    assert unpack(runner, root, tools, "--version").stdout == "conda-unpack 1.2.3\n"
    assert "--prefix PATH" in unpack(runner, root, tools, "--help").stdout
    before = digests(root)
    done = unpack(runner, root, tools, "--check")
    assert (done.returncode, done.stdout) == (0, f"{len(FILES)} to rewrite, 0 that cannot be\n")
    assert digests(root) == before
    done = unpack(runner, root, tools, "-v")
    assert sorted(done.stdout.splitlines()) == sorted(
        [*FILES, f"{len(FILES)} rewritten, 0 could not be"]
    )
    assert unpack(runner, root, tools, "-v").stdout == "0 rewritten, 0 could not be\n"
    for wrong in (["--prefix", "relative"], ["--prefix", "/a\nb"], ["--nonsense"], ["--prefix"]):
        done = unpack(runner, root, tools, *wrong)
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert done.stderr
    assert digests(root) == expected(str(root))


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_for_another_place(runner: list[str], tools: Path, tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    assert unpack(runner, root, tools, "--prefix=/e/").returncode == 0
    assert digests(root) == expected("/e")
    assert unpack(runner, root, tools, "--prefix", "/e/other").returncode == 0
    assert digests(root) == expected("/e/other")


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_what_cannot_be_rewritten_is_named(runner: list[str], tools: Path, tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    (root / "etc/é.conf").unlink()
    (root / "bin/a tool").unlink()
    (root / "bin/a tool").symlink_to("/dev/null")
    changed = (root / "etc/words").read_bytes().replace(b"one", b"one two")
    (root / "etc/words").chmod(0o644)
    (root / "etc/words").write_bytes(changed)
    long = "/" + "l" * len(SHORT)
    done = unpack(runner, root, tools, "--prefix", long)
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "conda-unpack: bin/a tool: a link is in the way",
        "conda-unpack: etc/words: it was changed after it was packed; "
        "the prefix is not where it was",
        "conda-unpack: etc/é.conf: it is not there",
        f"conda-unpack: lib/large.so: the prefix has {len(long)} bytes, "
        f"this binary holds {len(SHORT)}",
    ]
    assert (root / "etc/words").read_bytes() == changed
    assert (root / "lib/large.so").read_bytes() == FILES["lib/large.so"][0]
    assert long.encode() in (root / "lib/lib.so").read_bytes()
    # What was refused is done by a later run that can.
    unpack(runner, root, tools)
    wanted = expected(str(root))
    for path in ("lib/lib.so", "lib/large.so"):
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == wanted[path]


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_a_run_that_was_cut_off_is_completed_after_a_move(
    runner: list[str], tools: Path, tmp_path: Path
) -> None:
    """Some files have the placeholder, some the old prefix, some the one of the lost run."""
    root = make(tmp_path / "env")
    kept = (root / "etc/words").read_bytes()
    assert unpack(runner, root, tools, "--prefix", "/a").returncode == 0
    old = (root / "lib/lib.so").read_bytes()
    assert unpack(runner, root, tools, "--prefix", "/ab").returncode == 0
    replace(root / "etc/words", kept)
    replace(root / "lib/lib.so", old)
    (root / "conda-meta/unpacked-prefix").write_text("/ab\n/a\n")  # as before the first file
    assert unpack(runner, root, tools).returncode == 0
    assert digests_only(root) == expected(str(root))
    assert state(root) == f"{root}\n"


def replace(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def digests_only(root: Path) -> dict[str, str]:
    return {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in FILES}


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_killed_before_any_file(runner: list[str], tools: Path, tmp_path: Path) -> None:
    """The state names the new prefix before the first file has it."""
    root = make(tmp_path / "env")
    (root / "etc/words").unlink()
    (root / "etc/words").mkdir()
    assert unpack(runner, root, tools, "--prefix", "/a").returncode == 1
    assert state(root) == "/a\n"
    assert unpack(runner, root, tools, "--prefix", "/b").returncode == 1
    assert state(root) == "/b\n/a\n"


@pytest.mark.parametrize("runner", runners(), indirect=True)
def test_several_at_once(runner: list[str], tools: Path, tmp_path: Path) -> None:
    """As the workers of a cluster do on a shared folder."""
    root = make(tmp_path / "env")
    running = [subprocess.Popen([*runner, root / NAME], env={"PATH": str(tools)}) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert digests(root) == expected(str(root))
    assert state(root) == f"{root}\n"


@pytest.mark.parametrize("runner", ["python", "dash"], indirect=True)
def test_hard_links_part(runner: list[str], tools: Path, tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    (tmp_path / "cached").hardlink_to(root / "lib/lib.so")
    assert unpack(runner, root, tools).returncode == 0
    assert (tmp_path / "cached").read_bytes() == FILES["lib/lib.so"][0]
    assert digests(root) == expected(str(root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("runner", ["python", "dash"], indirect=True)
def test_a_read_only_folder(runner: list[str], tools: Path, tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    (root / "lib").chmod(0o555)
    done = unpack(runner, root, tools)
    (root / "lib").chmod(0o755)
    assert done.returncode == 1
    assert sorted(line.split(":")[1] for line in done.stderr.splitlines()) == [
        " lib/large.so",
        " lib/lib.so",
    ]
    assert digests_only(root)["lib/lib.so"] == expected(LONG)["lib/lib.so"]


@pytest.mark.parametrize("how", ["direct", "relative", "link", "path", "cwd"])
@pytest.mark.parametrize("python", [False, True])
def test_however_it_is_called(how: str, python: bool, tools: Path, tmp_path: Path) -> None:
    """The environment is where the program lies, and as the user named it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "seen").symlink_to("real")
    root = make(tmp_path / "seen" / "env")
    if python:
        (root / "bin" / "python").symlink_to(sys.executable)
    program = root / NAME
    (tmp_path / "elsewhere").symlink_to(program)
    calls: dict[str, tuple[list[str], Path]] = {
        "direct": ([str(program)], tmp_path),
        "relative": (["./seen/env/bin/../bin/conda-unpack"], tmp_path),
        "link": ([str(tmp_path / "elsewhere")], tmp_path),
        "path": (["conda-unpack"], tmp_path),
        "cwd": (["sh", "conda-unpack"], root / "bin"),
    }
    arguments, cwd = calls[how]
    (tools / "sh").symlink_to("/bin/sh")
    done = subprocess.run(
        arguments,
        env={"PATH": f"{tools}:{program.parent}", "PWD": str(cwd)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert digests(root) == expected(str(root))


@pytest.mark.parametrize("name", ["argparse", "runpy", "re"])
def test_modules_that_lie_about_are_not_imported(name: str, tmp_path: Path) -> None:
    """Neither from the current folder, which may be anybody's, nor from the environment's bin."""
    root = make(tmp_path / "env")
    (root / "bin/python").symlink_to(sys.executable)
    for folder in (tmp_path, root / "bin"):
        (folder / f"{name}.py").write_text("open('imported', 'w')\n")
    subprocess.run(["sh", root / NAME], cwd=tmp_path, check=True)
    assert not (tmp_path / "imported").exists()
    assert digests(root) == expected(str(root))


@pytest.mark.parametrize("mask", [0o000, 0o077])
@pytest.mark.parametrize("runner", ["python", "dash"], indirect=True)
def test_the_state_has_a_plain_mode(
    mask: int, runner: list[str], tools: Path, tmp_path: Path
) -> None:
    root = make(tmp_path / "env")
    old = os.umask(mask)
    try:
        assert unpack(runner, root, tools).returncode == 0
    finally:
        os.umask(old)
    assert (root / "conda-meta/unpacked-prefix").stat().st_mode & 0o777 == 0o644


def test_others_can_read_the_list(tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    text = (root / NAME).read_text("utf-8")
    module = ast.parse(text)
    assigned = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_prefix_records"
    ]
    assert sorted(ast.literal_eval(assigned[0])) == sorted(
        (path, placeholder, mode) for path, (_, placeholder, mode) in FILES.items()
    )
    assert str(tmp_path) not in text
    assert str(Path(__file__).parent.parent) not in text


def test_conda_packs_own_program_does_the_same(tmp_path: Path) -> None:
    """An archive of ours stays one that conda-pack's conda-unpack can finish."""
    from conda_pack.prefixes import update_prefix

    root = make(tmp_path / "env")
    module = ast.parse((root / NAME).read_text("utf-8"))
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_prefix_records":
            for path, placeholder, mode in ast.literal_eval(node.value):
                (root / path).chmod(0o644)
                update_prefix(str(root / path), "/e", placeholder, mode=mode)
    wanted = expected("/e")
    unended = "lib/lib.so"  # its last string ends with the file: conda-pack leaves it
    assert {**digests_only(root), unended: ""} == {**wanted, unended: ""}


def test_an_environment_without_prefixes(tools: Path, tmp_path: Path) -> None:
    program = tmp_path / "env" / NAME
    program.parent.mkdir(parents=True)
    program.write_bytes(conda_unpack_script([], "1"))
    for runner in ([sys.executable], command("dash")):
        path = shutil.which(runner[0])
        assert path
        done = unpack([path], tmp_path / "env", tools, "-v")
        assert (done.returncode, done.stdout) == (0, "0 rewritten, 0 could not be\n")
    assert not (tmp_path / "env" / "conda-meta").exists()
