from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimpack.archive import squash
from slimpack.archive.formats import FORMATS, Format, Packing
from slimpack.archive.write import Written, write_archive
from slimpack.errors import ArchiveError, InputError
from slimpack.progress import SILENT
from slimpack.tree import Entry, Kind, Tree, bytes_entry, symlink_entry
from tests.archive.samples import MTIME, expected, facts, installer, listing, sample
from tests.support.channel import ROOT

FILES = [named for named in FORMATS if named != "folder"]


def written(
    tree: Tree, path: Path, packing: Packing, *, mtime: int = MTIME, force: bool = False
) -> Written:
    return write_archive(
        tree,
        path,
        packing,
        mtime=mtime,
        progress=SILENT,
        installer=installer if packing.format == "sh" else None,
        force=force,
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# What depends on no compressor. A change here changes what everybody's archives are.
GOLDEN = {
    "tar": "06da1a695e0627b761ee499bb8c4babcab4007d16522ab55aa3f75994b62f466",
    "zip": "643dacc33465501bf1e5f10e4b1ff1fd0d22e7d1f8c76cbb2059275070440dee",
    "sh": "1199d360b18a416e60a3234272fd526a01187d4d29b41f7e69bfad34696c7454",
}


@pytest.mark.parametrize("named", ["tar", "zip", "sh"])
def test_the_bytes_are_these(tmp_path: Path, named: Format) -> None:
    level = 0 if named == "zip" else None
    done = written(sample(), tmp_path / "out", Packing(named, level, payload="none"))
    assert done.sha256 == GOLDEN[named]


@pytest.mark.parametrize("named", FILES)
def test_what_is_told_is_true(tmp_path: Path, named: Format) -> None:
    path = tmp_path / f"env.{named}"
    done = written(sample(), path, Packing(named, zip_symlinks=True))
    assert done == Written(path, path.stat().st_size, sha256(path), sample().files)
    assert listing(tmp_path) == [path.name]
    assert (path.stat().st_mode & 0o777 == 0o755) == (named == "sh")


_CHILD = """
import locale, random, sys
from pathlib import Path
from slimpack.archive.formats import FORMATS, Packing
from slimpack.tree import Tree
from tests.archive.samples import sample
from tests.archive.test_write import written
locale.setlocale(locale.LC_ALL, "")
entries = list(sample())
random.shuffle(entries)
for named in FORMATS:
    packing = Packing(named, threads=int(sys.argv[2]))
    print(named, written(Tree(entries), Path(sys.argv[1]) / named, packing).sha256)
"""


def test_the_surroundings_change_nothing(tmp_path: Path) -> None:
    outputs = []
    for number, (mask, zone, speech, threads, epoch) in enumerate(
        [
            (0o022, "UTC", "C.UTF-8", "1", ""),
            (0o077, "Asia/Kathmandu", "C", "5", "1"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        env = {**os.environ, "TZ": zone, "LC_ALL": speech, "PYTHONHASHSEED": str(number)}
        env |= {"PYTHONPATH": str(ROOT), **({"SOURCE_DATE_EPOCH": epoch} if epoch else {})}
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, tmp_path / str(number), threads],
            env=env,
            umask=mask,
            cwd=tmp_path / str(number),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == len(FORMATS)
    modes = [facts(tmp_path / str(number) / "folder") for number in (0, 1)]
    assert modes[0] == modes[1] == expected(sample())


@pytest.mark.parametrize(
    ("named", "low", "high"),
    [
        ("tar.zst", 1, 15),
        ("tar.gz", 1, 9),
        ("tar.xz", 0, 6),
        ("tar.bz2", 1, 9),
        ("zip", 1, 9),
        ("squashfs", 1, 15),
        ("sh", 1, 9),
    ],
)
def test_the_level_is_honoured(tmp_path: Path, named: Format, low: int, high: int) -> None:
    text = " ".join(f"{number * number:x}" for number in range(30_000))
    words = (2 * text + text[::-1] + text.upper()).encode()
    tree = Tree([bytes_entry("words", words)])
    fast = written(tree, tmp_path / "fast", Packing(named, low))
    small = written(tree, tmp_path / "small", Packing(named, high))
    assert small.size < fast.size < len(words)


def test_squashfs_can_be_made_for_old_kernels(tmp_path: Path) -> None:
    written(sample(), tmp_path / "out", Packing("squashfs", squashfs="gzip"))
    assert (tmp_path / "out").read_bytes()[20:22] == b"\1\0"  # the superblock's compressor


def test_an_old_mksquashfs_gets_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squash, "_version", lambda: (4, 4))
    done = written(sample(), tmp_path / "old", Packing("squashfs", threads=1))
    again = written(sample(), tmp_path / "again", Packing("squashfs", threads=4))
    assert done.sha256 == again.sha256
    assert listing(tmp_path) == ["again", "old"]
    unsquashed = tmp_path / "out"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", unsquashed, tmp_path / "old"], check=True)
    assert facts(unsquashed) == expected(sample())


def test_a_missing_or_old_mksquashfs_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    monkeypatch.setenv("PATH", str(bin_dir))
    with pytest.raises(InputError, match="needs mksquashfs") as caught:
        written(sample(), tmp_path / "out.squashfs", Packing("squashfs"))
    assert "squashfs-tools" in caught.value.hint
    (bin_dir / "mksquashfs").write_text("#!/bin/sh\necho mksquashfs version 4.3\n")
    (bin_dir / "mksquashfs").chmod(0o755)
    with pytest.raises(InputError, match="older than"):
        written(sample(), tmp_path / "out.squashfs", Packing("squashfs"))
    script = '#!/bin/sh\n[ "$1" = -version ] && echo mksquashfs version 4.6\necho Oh no; exit 3\n'
    (bin_dir / "mksquashfs").write_text(script)
    with pytest.raises(ArchiveError, match="failed with 3") as failed:
        written(sample(), tmp_path / "out.squashfs", Packing("squashfs"))
    assert "Oh no" in failed.value.details
    assert listing(tmp_path) == ["bin"]


@pytest.mark.parametrize("named", FORMATS)
def test_content_that_changed_leaves_nothing(tmp_path: Path, named: Format) -> None:
    def shrunk() -> io.BytesIO:
        return io.BytesIO(b"abc")

    entry = Entry(path="file", kind=Kind.FILE, mode=0o644, size=5_000_000, opener=shrunk)
    with pytest.raises(ArchiveError, match=r"file ended .* before its 5000000"):
        written(sample().merge([entry]), tmp_path / "out", Packing(named))
    assert listing(tmp_path) == []


@pytest.mark.parametrize("named", FORMATS)
def test_an_interrupt_leaves_nothing(tmp_path: Path, named: Format) -> None:
    def interrupted() -> io.BytesIO:
        raise KeyboardInterrupt

    entry = Entry(path="zzz", kind=Kind.FILE, mode=0o644, size=5, opener=interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(sample().merge([entry]), tmp_path / "out", Packing(named))
    assert listing(tmp_path) == []


@pytest.mark.parametrize("named", FORMATS)
def test_names_that_are_not_utf8_are_refused(tmp_path: Path, named: Format) -> None:
    for entry in (bytes_entry("caf\udce9", b""), symlink_entry("link", "caf\udce9")):
        with pytest.raises(InputError, match="is not UTF-8"):
            written(Tree([entry]), tmp_path / "out", Packing(named))
    assert listing(tmp_path) == []


def test_a_zip_refuses_names_that_unzip_would_change(tmp_path: Path) -> None:
    tree = Tree([bytes_entry("two\nlines", b"")])
    with pytest.raises(InputError, match=r"'two\\nlines' has control characters"):
        written(tree, tmp_path / "out.zip", Packing("zip"))
    written(tree, tmp_path / "out.tar", Packing("tar"))


@pytest.mark.parametrize("mtime", [-1, 1 << 32])
def test_times_that_no_format_holds_are_refused(tmp_path: Path, mtime: int) -> None:
    with pytest.raises(InputError, match="cannot hold the time"):
        written(sample(), tmp_path / "out.tar", Packing("tar"), mtime=mtime)


def test_a_pipe_takes_a_tar_and_nothing_that_must_seek(tmp_path: Path) -> None:
    null = Path("/dev/null")
    assert written(sample(), null, Packing("tar.gz")).size > 0
    for named in ("zip", "squashfs", "sh"):
        with pytest.raises(InputError, match="no regular file"):
            written(sample(), null, Packing(named))


def test_an_installer_must_tell_where_the_payload_lies(tmp_path: Path) -> None:
    def call(script: Callable[..., bytes]) -> None:
        write_archive(
            sample(),
            tmp_path / "out.sh",
            Packing("sh"),
            mtime=MTIME,
            progress=SILENT,
            installer=script,
        )

    with pytest.raises(ArchiveError, match="changed its length"):
        call(lambda payload: b"#!/bin/sh\n" + b"#" * payload.size)
    with pytest.raises(ArchiveError, match="not a self-extracting archive"):
        call(lambda _: b"#!/bin/sh\n")
    with pytest.raises(ArchiveError, match=r"cut off|data after|where its payload"):
        call(lambda payload: f"#!/bin/sh\n{payload.line(200)}\n".encode())
    with pytest.raises(ValueError, match="needs an installer"):
        write_archive(sample(), tmp_path / "o", Packing("sh"), mtime=0, progress=SILENT)
    assert listing(tmp_path) == []


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = bytes(size)
        self._left -= size
        return size


@pytest.mark.parametrize("named", ["zip", "tar.gz", "tar.bz2", "folder"])
def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path, named: Format) -> None:
    size = 150_000_000
    entry = Entry(
        path="big",
        kind=Kind.FILE,
        mode=0o644,
        size=size,
        opener=lambda: io.BufferedReader(_Zeros(size)),
    )
    level = None if named == "folder" else 1
    tracemalloc.start()
    try:
        written(Tree([entry]), tmp_path / "out", Packing(named, level, threads=2))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_progress_adds_up(tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.done, self.all = 0, -1

        def __enter__(self) -> Told:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Told:
            self.all = total or 0
            return self

        def advance(self, amount: int = 1) -> None:
            self.done += amount

        def total(self, amount: int) -> None:
            raise AssertionError

        def note(self, message: str) -> None:
            raise AssertionError

        warn = note

    for named in FORMATS:
        told = Told()
        make = installer if named == "sh" else None
        path = tmp_path / named
        write_archive(sample(), path, Packing(named), mtime=0, progress=told, installer=make)
        assert told.done == told.all > 0, named
