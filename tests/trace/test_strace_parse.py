"""Parsing of strace's output: recordings of real runs, names that try to lie, damage."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.trace import strace_parse
from slimpack.trace.strace import wrapper
from slimpack.trace.strace_lines import Call, Exit, Skipped, read_calls, unescape
from slimpack.trace.strace_parse import Touched, parse
from tests.support.channel import missing

RECORDINGS = Path(__file__).with_name("recordings")


def touched(text: str, *, entered: bool = True) -> Touched:
    return parse(text.encode().splitlines(keepends=True), entered=entered)


def recorded(name: str) -> Touched:
    with (RECORDINGS / name).open("rb") as lines:
        return parse(lines)


def test_only_what_the_workload_does_inside_counts() -> None:
    found = recorded("bubblewrap.txt")
    assert found.entered
    assert found.opened == {
        "/bin/dash",
        "/bin/ls",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/data/run.sh",
        "/data/sub/f",
        '/data/sub/../a) = 3<x> "q',
        "/data/.",
        "/data/new\nline\\ \udcff\u00e9",
    }
    assert found.listed == {"/data"}
    assert "/data/sub" in found.statted
    assert not any("newroot" in path or "libcap" in path for path in found.opened | found.statted)
    assert found.lost == 0


def test_a_thread_that_executes_a_program_goes_on_as_its_process() -> None:
    found = recorded("thread.txt")
    assert found.opened == {
        "/usr/bin/python3",
        "/etc/localtime",
        "/bin/sh",
        "/etc/hostname",
        "/opt/bin/true",
        "/lib/x86_64-linux-gnu/libc.so.6",
    }
    assert found.statted == {"/opt", "/opt/relative"}
    assert found.skipped == 0


START = '1 execve("/p", [...], 0x1 /* 0 vars */) = 0\n'


def test_a_launcher_that_never_enters_shows_nothing() -> None:
    found = touched(START + '1 openat(AT_FDCWD</>, "/x", O_RDONLY) = 3</x>\n', entered=False)
    assert not found.entered
    assert not found.opened | found.statted


def test_a_failed_execve_is_no_start() -> None:
    text = (
        '1 chroot("/r") = 0\n'
        '1 execve("/sbin/p", [...], 0x1 /* 0 vars */) = -1 ENOENT (No such file or directory)\n'
        '1 openat(AT_FDCWD</>, "/between", O_RDONLY) = 3</between>\n'
        '1 execve("/bin/p", [...], 0x1 /* 0 vars */) = 0\n'
        '1 openat(AT_FDCWD</>, "/after", O_RDONLY) = 3</after>\n'
    )
    assert touched(text, entered=False).opened == {"/bin/p", "/after"}


def test_names_are_relative_to_the_folder_of_their_process() -> None:
    text = START + (
        '1 chdir("/a") = 0\n'
        "1 fork() = 2\n"
        '2 chdir("b") = 0\n'
        '2 stat("x", {st_mode=S_IFREG|0644, st_size=1, ...}) = 0\n'
        '1 stat("x", {st_mode=S_IFREG|0644, st_size=1, ...}) = 0\n'
        "1 fchdir(7</c>) = 0\n"
        '1 stat("x", {st_mode=S_IFREG|0644, st_size=1, ...}) = 0\n'
        '1 openat(5</d>, "x", O_RDONLY) = 3</d/x>\n'
        '1 execveat(5</d/y>, "", [...], 0x1 /* 0 vars */, AT_EMPTY_PATH) = 0\n'
    )
    found = touched(text)
    assert {"/a/b/x", "/a/x", "/c/x"} <= found.statted
    assert {"/d/x", "/d/y"} <= found.opened


def test_threads_share_their_folder() -> None:
    text = START + (
        "1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD}, 88) = 2\n"
        '2 chdir("/t") = 0\n'
        '1 access("x", F_OK) = 0\n'
    )
    assert "/t/x" in touched(text).statted


def test_a_child_may_be_seen_before_its_parent_knows_of_it() -> None:
    text = START + (
        '1 chdir("/a") = 0\n'
        "1 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n"
        '2 access("x", F_OK) = 0\n'
        "2 +++ exited with 0 +++\n"
        "1 <... clone resumed>) = 2\n"
    )
    found = touched(text)
    assert "/a/x" in found.statted
    assert found.lost == 0


def test_a_number_that_comes_again_is_another_process() -> None:
    text = START + (
        '1 chdir("/a") = 0\n'
        "1 fork() = 2\n"
        '2 chdir("/old") = 0\n'
        "2 +++ exited with 0 +++\n"
        "1 fork() = 2\n"
        '2 access("x", F_OK) = 0\n'
    )
    found = touched(text)
    assert "/a/x" in found.statted
    assert "/old/x" not in found.statted


def test_a_chain_of_children_that_all_came_early_needs_no_stack() -> None:
    depth = 5000
    lines = [f'{pid} access("/x{pid}", F_OK) = 0' for pid in range(2, depth)]
    lines += [f"{pid} vfork() = {pid + 1}" for pid in range(depth - 2, 0, -1)]
    assert len(touched(START + "\n".join(lines) + "\n").statted) == depth - 2


def test_a_name_without_a_known_folder_is_counted_not_guessed() -> None:
    found = touched(START + '1 access("x", F_OK) = 0\n')
    assert found.lost == 1
    assert not found.statted


def test_what_is_missing_is_no_file_and_what_fails_otherwise_is() -> None:
    text = START + (
        '1 access("/none", F_OK) = -1 ENOENT (No such file or directory)\n'
        '1 readlink("/file", 0x7ff, 1023) = -1 EINVAL (Invalid argument)\n'
        '1 openat(AT_FDCWD</>, "/secret", O_RDONLY) = -1 EACCES (Permission denied)\n'
    )
    found = touched(text)
    assert found.statted == {"/file", "/secret"}
    assert found.opened == {"/p"}


def test_a_root_of_the_workloads_own_is_not_the_images() -> None:
    text = START + (
        '1 chroot("/inner") = 0\n'
        '1 execve("/q", [...], 0x1 /* 0 vars */) = 0\n'
        '1 openat(AT_FDCWD</>, "/x", O_RDONLY) = 3</x>\n'
    )
    assert touched(text).opened == {"/p"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1",
        "rubbish",
        "1 openat(",
        '1 openat(AT_FDCWD</>, "/cut',
        '1 openat(AT_FDCWD</>, "/x", O_RDONLY) = ',
        "1 <... openat resumed>) = 3",
        '99999999999 access("/x", F_OK) = 0',
        "1 " + "a" * (200 << 10),
        '1 access("/' + "a" * 5000 + '"..., F_OK) = -1 ENAMETOOLONG (File name too long)',
    ],
)
def test_damaged_lines_are_passed_over(line: str) -> None:
    found = touched(START + line + "\n" + '1 access("/after", F_OK) = 0\n')
    assert found.statted == {"/after"}


def test_the_number_of_paths_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strace_parse, "MAX_PATHS", 10)
    lines = "".join(f'1 access("/{number}", F_OK) = 0\n' for number in range(12))
    with pytest.raises(InputError, match="more than 10 paths"):
        touched(START + lines)


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\n", b" ")), st.booleans())
def test_no_line_brings_the_parser_down(data: bytes, framed: bool) -> None:
    line = b"1 openat(AT_FDCWD</>, " + data + b") = 3" if framed else data
    parse([START.encode(), line + b"\n"], entered=True)


def escaped(name: bytes) -> str:
    """Escape a name as strace's print_quoted_string_ex does (source: util.c)."""
    out = ""
    for place, byte in enumerate(name):
        letters = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        if byte in letters:
            out += letters[byte]
        elif 32 <= byte < 127 and byte not in b"<>":
            out += chr(byte)
        else:
            digit = name[place + 1 : place + 2].isdigit()
            out += f"\\{byte:03o}" if digit else f"\\{byte:o}"
    return out


NAMES = st.binary(min_size=1, max_size=60).map(
    lambda data: data.replace(b"\0", b"0").replace(b"/", b"'")
)


@given(NAMES)
def test_a_name_comes_back_as_it_was(name: bytes) -> None:
    assert os.fsencode(unescape(escaped(name))) == name


@given(NAMES)
def test_no_name_changes_what_its_line_says(name: bytes) -> None:
    text = escaped(name)
    line = f'1 openat(AT_FDCWD</{text}>, "{text}", O_RDONLY|O_CLOEXEC) = 3</{text}/{text}>\n'
    found = touched(START + line)
    assert found.opened == {"/p", f"/{os.fsdecode(name)}/{os.fsdecode(name)}"}
    assert found.skipped == found.lost == 0


@given(st.lists(st.sampled_from('") = -1<>\\, 3/ '), max_size=40).map("".join))
def test_names_made_of_what_ends_a_call(name: str) -> None:
    raw = f"x{name.replace('/', '_')}".encode()
    found = touched(START + f'1 access("/{escaped(raw)}", F_OK) = 0\n')
    assert found.statted == {f"/{raw.decode()}"}


def test_exits_and_results_are_events() -> None:
    skipped = Skipped()
    lines = [b"7 fork() = 2 /* 8 in strace's PID NS */\n", b"8 +++ killed by SIGKILL +++\n"]
    assert list(read_calls(lines, skipped)) == [Call(7, "fork", "", 8, ""), Exit(8)]


def test_real_names_through_real_strace(tmp_path: Path) -> None:
    """What strace writes of hostile names is read back; without a sandbox."""
    if shutil.which("strace") is None:
        missing("PEERS", "strace is not installed")
    names = [b'a) = 3</x> "q'.replace(b"/", b"|"), b"new\nline\\ \xff\xc3\xa9", b"\x01\x7f9<\t>"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    log = tmp_path / "log"
    subprocess.run(
        [*wrapper("strace", log), "/bin/cat", *map(os.fsdecode, names)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with log.open("rb") as lines:
        found = parse(lines, entered=True)
    assert {f"{tmp_path}/{os.fsdecode(name)}" for name in names} <= found.opened
    assert found.skipped == 0
