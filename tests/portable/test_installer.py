"""The self-extracting archive, run by the shells that targets have, with and without Python."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from slimpack.errors import InputError
from slimpack.portable.installer import installer
from tests.portable.environments import FILES, digests, expected, make, programs
from tests.portable.shells import PLAIN, command
from tests.portable.test_conda_unpack import TOOLS
from tests.support.channel import missing

INSTALLER_TOOLS = [
    *TOOLS,
    *("sh", "tar", "gzip", "head", "tail", "df", "sed", "sha256sum", "sleep", "rmdir"),
]
SHELLS = PLAIN


@dataclass(frozen=True)
class FakePayload:
    data: bytes
    compression: str = "gzip"
    members: int = 10
    unpacked: int = 1_000_000

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH without Python."""
    return programs(tmp_path / "tools", INSTALLER_TOOLS)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the user stands."""
    folder = tmp_path / "my é 'work'"
    folder.mkdir()
    return folder


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def tar(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small environment as a tar."""
    folder = make(tmp_path_factory.mktemp("packed") / "env")
    (folder / "bin/activate").write_text("# activate\n")
    return packed(folder)


def write(
    place: Path,
    data: bytes,
    compression: str = "gzip",
    *,
    dest: str | None = None,
    unpacked: int = 10,
) -> Path:
    packed = {"gzip": gzip.compress(data), "zstd": zstandard.compress(data), "none": data}
    payload = FakePayload(packed[compression], compression, unpacked=unpacked)
    place.write_bytes(installer("demo", "1.0 'x'", payload, dest_prefix=dest) + payload.data)
    place.chmod(0o755)
    return place


@pytest.fixture
def archive(work: Path, tar: bytes) -> Path:
    return write(work / "demo it.sh", tar)


def install(
    archive: Path, tools: Path, *arguments: object, shell: str = "dash", code: int = 0
) -> subprocess.CompletedProcess[str]:
    found = command(shell)
    program = shutil.which(found[0])
    assert program is not None
    done = subprocess.run(
        [program, *found[1:], archive.name, *map(str, arguments)],
        env={"PATH": str(tools), "LANG": "C.UTF-8"},
        cwd=archive.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr + done.stdout
    left = [path.name for path in archive.parent.iterdir() if path.name.startswith(".")]
    assert left == []
    return done


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("shell", SHELLS)
def test_unpacks_and_is_ready(shell: str, archive: Path, tools: Path) -> None:
    done = install(archive, tools, shell=shell)
    dest = archive.parent / "demo"
    assert digests(dest) == expected(str(dest))
    assert done.stderr == ""
    quoted = str(dest).replace("'", "'\\''")
    assert done.stdout.splitlines()[-1] == f"activate it:  . '{quoted}/bin/activate'"
    assert names(archive.parent) == {"demo", "demo it.sh"}


def test_with_busybox_and_nothing_else(archive: Path, tmp_path: Path) -> None:
    """As in an Alpine image: every tool is busybox's."""
    busybox = shutil.which("busybox")
    if busybox is None:
        missing("SHELLS", "busybox is not installed")
    assert busybox is not None
    (tmp_path / "applets").mkdir()
    for name in [*INSTALLER_TOOLS, "busybox"]:
        (tmp_path / "applets" / name).symlink_to(busybox)
    install(archive, tmp_path / "applets", shell="ash")
    dest = archive.parent / "demo"
    assert digests(dest) == expected(str(dest))
    dest = dest.rename(archive.parent / "moved")
    subprocess.run(
        [busybox, "ash", dest / "bin/conda-unpack"],
        env={"PATH": str(tmp_path / "applets")},
        check=True,
    )
    assert digests(dest) == expected(str(dest))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_readers_find_the_payload(compression: str, tar: bytes, work: Path) -> None:
    data = write(work / "a.sh", tar, compression).read_bytes()
    lines = data[:4096].decode().splitlines()
    assert lines[1] == "# slimpack self-extracting archive"
    match = re.fullmatch(
        r"# slimpack payload: offset=(\d{12}) size=(\d{15}) "
        r"compression=(\w+) sha256=([0-9a-f]{64})",
        lines[2],
    )
    assert match is not None
    offset, size = int(match[1]), int(match[2])
    assert offset + size == len(data)
    assert match[3] == compression
    assert hashlib.sha256(data[offset:]).hexdigest() == match[4]
    assert data[offset - 1 : offset] == b"\n"


def test_the_length_does_not_depend_on_the_payload() -> None:
    small, large = FakePayload(b"", members=0, unpacked=0), FakePayload(b"x" * 10**6, members=10**7)
    heads = [installer("a", "1", payload, dest_prefix=None) for payload in (small, large)]
    assert len(heads[0]) == len(heads[1])
    assert heads[0] != heads[1]


def test_other_compressions(tar: bytes, work: Path, tools: Path) -> None:
    install(write(work / "none.sh", tar, "none"), tools, "-p", "none")
    assert digests(work / "none") == expected(str(work / "none"))
    archive = write(work / "zstd.sh", tar, "zstd")
    done = install(archive, tools, "-p", "zstd", code=1)
    assert "zstd is needed" in done.stderr
    assert "zstd" not in names(work)
    zstd = shutil.which("zstd")
    if zstd is None:  # the program that unpacks, in the words of a library
        (tools / "zstd").write_text(
            f"#!{sys.executable}\nimport sys, zstandard\n"
            "zstandard.ZstdDecompressor().copy_stream(sys.stdin.buffer, sys.stdout.buffer)\n"
        )
        (tools / "zstd").chmod(0o755)
    else:
        (tools / "zstd").symlink_to(zstd)
    install(archive, tools, "-p", "zstd")
    assert digests(work / "zstd") == expected(str(work / "zstd"))


def test_with_the_python_of_the_environment(
    tar: bytes, work: Path, tools: Path, tmp_path: Path
) -> None:
    folder = make(tmp_path / "with-python")
    (folder / "bin/python").symlink_to(sys.executable)
    archive = write(work / "demo.sh", packed(folder))
    install(archive, tools)
    assert digests(work / "demo") == expected(str(work / "demo"))


@pytest.mark.parametrize("dest", ["sub/folder/env", "../up", "absolute", "-dash", "./x/../y/"])
def test_destinations(dest: str, archive: Path, tools: Path, tmp_path: Path) -> None:
    argument = str(tmp_path / "abs olute") if dest == "absolute" else dest
    install(archive, tools, "--prefix=" + argument)
    place = Path(os.path.normpath(archive.parent / argument))
    assert digests(place) == expected(str(place))


def test_an_empty_destination(archive: Path, tools: Path) -> None:
    install(archive, tools, "--prefix=", code=2)


@pytest.mark.parametrize("dest", [".", "..", "/", "a/..", "two\nlines", ""])
def test_destinations_that_are_none(dest: str, archive: Path, tools: Path) -> None:
    done = install(archive, tools, "-p", dest, code=2)
    assert done.stderr
    assert names(archive.parent) == {archive.name}


def test_what_is_in_the_way(archive: Path, tools: Path) -> None:
    dest = archive.parent / "demo"
    dest.write_text("a file")
    assert "is not a folder" in install(archive, tools, "-f", code=2).stderr
    dest.unlink()
    dest.symlink_to("elsewhere")
    assert "is a link" in install(archive, tools, "-f", code=2).stderr
    dest.unlink()
    dest.mkdir()
    install(archive, tools)  # an empty folder is fine
    (dest / "mine").write_text("x")
    assert "is not empty" in install(archive, tools, code=2).stderr
    assert (dest / "mine").exists()
    install(archive, tools, "--force")
    assert not (dest / "mine").exists()
    assert digests(dest) == expected(str(dest))
    shutil.rmtree(dest / "conda-meta")
    assert "no environment" in install(archive, tools, "-f", code=2).stderr
    assert (dest / "bin").exists()


def test_damage_is_told_before_anything_is_written(archive: Path, tools: Path) -> None:
    whole = archive.read_bytes()
    for data, message in (
        (whole[:-1], "truncated"),
        (whole[: len(whole) // 2], "truncated"),
        (whole + b"x", "damaged"),
        (whole[:-20] + b"tampered" + whole[-12:], "SHA-256"),
    ):
        archive.write_bytes(data)
        for arguments in ([], ["--check"], ["--list"]):
            assert message in install(archive, tools, *arguments, code=1).stderr
        assert names(archive.parent) == {archive.name}
    archive.write_bytes(whole)
    assert install(archive, tools, "--check").stdout == "whole\n"
    for cut in (100, 3000, whole.index(b"\nmain ")):  # inside the program itself
        archive.write_bytes(whole[:cut])
        subprocess.run(["sh", archive.name], cwd=archive.parent, check=False, capture_output=True)
        assert names(archive.parent) == {archive.name}


@pytest.mark.parametrize("tool", ["sha256sum", "shasum", "openssl", "busybox", "none"])
def test_whatever_makes_a_digest(tool: str, archive: Path, tools: Path) -> None:
    (tools / "sha256sum").unlink()
    if tool != "none":
        found = shutil.which(tool)
        if found is None:
            pytest.skip(f"{tool} is not installed")
        (tools / tool).symlink_to(found)
    if tool == "shasum":  # a Perl script
        perl = shutil.which("perl")
        assert perl is not None
        (tools / "perl").symlink_to(perl)
    done = install(archive, tools, "--check")
    assert ("only the size was checked" in done.stderr) == (tool == "none")
    data = archive.read_bytes()
    archive.write_bytes(data[:-20] + b"tampered" + data[-12:])
    install(archive, tools, "--check", code=0 if tool == "none" else 1)


def test_a_full_disk_is_told_first(tar: bytes, work: Path, tools: Path) -> None:
    archive = write(work / "demo.sh", tar, unpacked=10**17)
    assert re.search(
        r"has \d+ MiB free; \d+ MiB are needed", install(archive, tools, code=1).stderr
    )
    assert names(work) == {"demo.sh"}


def test_a_place_that_was_fixed(tar: bytes, work: Path, tools: Path) -> None:
    fixed = str(work / "fixed")
    archive = write(work / "demo.sh", tar, dest=fixed)
    assert f"was packed for {fixed}" in install(archive, tools, "-p", "other", code=2).stderr
    install(archive, tools, "-p", "other", "--extract-only")
    assert (work / "other/etc/é.conf").read_bytes() == FILES["etc/é.conf"][0]
    install(archive, tools)
    assert (work / "fixed/bin/activate").exists()
    install(archive, tools, "-p", fixed + "/", "-f")


def test_small_things(archive: Path, tools: Path) -> None:
    assert install(archive, tools, "--version").stdout == "demo 1.0 'x'\n"
    assert "--extract-only" in install(archive, tools, "-h").stdout
    listed = install(archive, tools, "--list").stdout.splitlines()
    assert {"bin/a tool", "lib/lib.so"} <= set(listed)
    assert "unknown argument: -z" in install(archive, tools, "-z", code=2).stderr
    assert "-p needs a folder" in install(archive, tools, "-p", code=2).stderr
    assert install(archive, tools, "-q").stdout == ""


def test_a_file_that_cannot_be_rewritten_stops_it(archive: Path, tools: Path) -> None:
    dest = "l" * 200
    done = install(archive, tools, "-p", dest, code=1)
    assert "lib/large.so: the prefix has" in done.stderr
    assert "the paths inside could not be written" in done.stderr
    assert names(archive.parent) == {archive.name}


def test_a_tar_that_fails_leaves_nothing(work: Path, tools: Path) -> None:
    archive = write(work / "demo.sh", b"this is no tar" * 100)
    assert "cannot unpack" in install(archive, tools, code=1).stderr
    assert names(work) == {"demo.sh"}


def test_through_a_pipe(archive: Path, tools: Path) -> None:
    done = subprocess.run(
        [str(tools / "sh")],
        env={"PATH": str(tools)},
        input=archive.read_bytes(),
        cwd=archive.parent,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"not through a pipe" in done.stderr
    assert names(archive.parent) == {archive.name}


def test_run_as_a_program_from_elsewhere(archive: Path, tools: Path, tmp_path: Path) -> None:
    """By its path, from a folder that cannot be written to."""
    subprocess.run(
        [str(archive), "-q", "-p", str(tmp_path / "there")],
        env={"PATH": str(tools)},
        cwd="/proc/self",
        check=True,
    )
    assert digests(tmp_path / "there") == expected(str(tmp_path / "there"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("shell", ["bash", "dash", "ash"])
def test_signals_leave_nothing(number: int, shell: str, archive: Path, tools: Path) -> None:
    (tools / "tar").unlink()
    (tools / "tar").write_text("#!/bin/sh\n: >started\nsleep 60 <&- >&- 2>&-\n")
    (tools / "tar").chmod(0o755)
    found = command(shell)
    program = shutil.which(found[0])
    assert program is not None
    process = subprocess.Popen(
        [program, *found[1:], archive.name],
        env={"PATH": str(tools)},
        cwd=archive.parent,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not list(archive.parent.glob(".demo.*.tmp/env/started")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert names(archive.parent) == {archive.name}


@pytest.mark.parametrize("existing", [True, False])
def test_a_signal_between_the_two_moves_loses_nothing(
    existing: bool, archive: Path, tools: Path
) -> None:
    """The old environment is aside, the new one not yet in its place."""
    if existing:
        install(archive, tools)
        (archive.parent / "demo/mine").write_text("mine")
    real = shutil.which("mv")
    (tools / "mv").unlink()
    (tools / "mv").write_text(
        f'#!/bin/sh\ncase $1 in\n  */demo) {real} "$@"; kill -TERM $PPID ;;\n'
        f'  */env) [ -d "$2" ] || kill -TERM $PPID ;;\n  *) {real} "$@" ;;\nesac\n'
    )
    (tools / "mv").chmod(0o755)
    install(archive, tools, "-f", code=143)
    assert names(archive.parent) == {archive.name, *(["demo"] if existing else [])}
    assert not existing or (archive.parent / "demo/mine").read_text() == "mine"


def test_what_came_while_it_was_unpacked_stays(archive: Path, tools: Path) -> None:
    real = shutil.which("tar")
    (archive.parent / "demo").mkdir()
    (tools / "tar").unlink()
    (tools / "tar").write_text(f'#!/bin/sh\n: >../../demo/mine\nexec {real} "$@"\n')
    (tools / "tar").chmod(0o755)
    assert "demo is not empty" in install(archive, tools, code=2).stderr
    assert names(archive.parent / "demo") == {"mine"}


def test_folders_made_for_nothing_are_removed(archive: Path, tools: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for parent in (tmp_path / "here", Path("some")):
        install(archive, tools, "-p", parent / "new/er" / ("l" * 200), code=1)
    assert names(tmp_path / "here") == set()
    assert names(archive.parent) == {archive.name}


@pytest.mark.parametrize("shell", ["bash", "dash", "ash"])
def test_from_a_folder_that_is_gone(shell: str, archive: Path, tools: Path) -> None:
    found = command(shell)
    run = [shutil.which(found[0]) or "", *found[1:], str(archive), "-q", "-p", "env-of-nowhere"]
    gone = archive.parent / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && {shutil.which("rmdir")} "{gone}" && exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *run], env={"PATH": str(tools)}, check=False
    )
    assert done.returncode != 0
    assert not Path("/env-of-nowhere").exists()
    assert names(archive.parent) == {archive.name}


def test_a_name_like_an_option(archive: Path, tools: Path) -> None:
    named = archive.rename(archive.with_name("-n 1.sh"))
    done = subprocess.run(
        ["/bin/sh", "--", named.name, "-q"], env={"PATH": str(tools)}, cwd=named.parent, check=True
    )
    assert done.returncode == 0
    assert names(named.parent) == {named.name, "demo"}


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "a/b", "a\n", "é", "a" * 101, "$(id)"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name"):
        installer(name, "1", FakePayload(b""), dest_prefix=None)


@pytest.mark.parametrize("dest", ["relative", "/a\nb", ""])
def test_prefixes_that_are_refused(dest: str) -> None:
    with pytest.raises(InputError, match="absolute path"):
        installer("a", "1", FakePayload(b""), dest_prefix=dest)
