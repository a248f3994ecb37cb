"""One planted archive for each thing that is refused; and what is only masked."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from slimpack.archive.extract import Extracted, extract, find_environment
from slimpack.archive.guard import allowed_bytes
from slimpack.errors import ArchiveError, InputError
from slimpack.progress import SILENT
from tests.archive.planted import Member, file, folder, link, refused, tarred, zipped
from tests.archive.samples import listing

HOSTILE: dict[str, tuple[list[Member], str]] = {
    "absolute": ([file("/etc/passwd")], "'/etc/passwd' has an absolute path"),
    "dot-dot": ([file("a/../../b")], "outside of its root|leads out of"),
    "dot-dot-inside": ([folder("a"), file("a/../b")], "outside of its root|leads out of"),
    "empty-name": ([file("")], "without a name"),
    "root-file": ([file("./.")], "in the place of the root"),
    "long-path": ([file("a" * 4200)], "too long"),
    "deep": ([file("a/" * 128 + "b")], "more than 128 folders deep"),
    "long-name": ([file("n" * 256)], "name that is too long"),
    "twice": ([file("a"), file("a")], "'a' is there twice"),
    "twice-otherwise": ([file("a/b"), file("./a//b")], "is there twice"),
    "folder-twice": ([folder("a"), folder("a/")], "'a' is there twice"),
    "file-and-folder": ([file("a"), folder("a")], "'a' is there twice"),
    "file-then-below": ([file("a"), file("a/b")], "'a/b' lies below 'a', a file"),
    "below-then-file": ([file("a/b"), file("a")], "'a' is there twice"),
    "below-a-link": ([link("a", "."), file("a/b")], "'a/b' lies below 'a', a symlink"),
    "over-a-link": ([link("a", "b"), file("a")], "'a' is there twice"),
    "link-out": ([link("a/b", "../../c")], "'a/b' is a link to '../../c': it leads out"),
    "link-absolute": ([link("a", "/etc")], "'a' is a link to '/etc', not a relative"),
    "link-through-links": (
        [folder("d"), link("d/up", ".."), link("bad", "d/up/../etc")],
        "'bad' is a link to .* leads out",
    ),
    "link-before-its-helper": (
        [link("bad", "d/up/../etc"), folder("d"), link("d/up", "..")],
        "'bad' is a link to .* leads out",
    ),
    "link-loop": ([link("a", "b"), link("b", "a")], "circle"),
    "device": ([("dev", {"type": tarfile.CHRTYPE}, b"")], "a device, a FIFO"),
    "fifo": ([("pipe", {"type": tarfile.FIFOTYPE}, b"")], "a device, a FIFO"),
    "bytes-name": ([file("caf\udce9")], r"'caf\\udce9' has a name that is not UTF-8"),
}


@pytest.mark.parametrize(("members", "why"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_tars(tmp_path: Path, members: list[Member], why: str) -> None:
    refused(tmp_path, tarred(members), why)


# tarfile's devices have no zip counterpart but in the mode; zipfile writes no bytes names.
@pytest.mark.parametrize("which", [name for name in HOSTILE if name != "bytes-name"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_zips(tmp_path: Path, which: str) -> None:
    members, why = HOSTILE[which]
    refused(tmp_path, zipped(members), why)


def test_hard_links(tmp_path: Path) -> None:
    good = [file("a/b", b"data"), link("c", "a/b", hard=True), link("d", "./c", hard=True)]
    path = tmp_path / "good.tar"
    path.write_bytes(tarred(good))
    assert extract(path, tmp_path / "dest", progress=SILENT) == Extracted(3, 4)
    assert (tmp_path / "dest/d").stat().st_ino == (tmp_path / "dest/a/b").stat().st_ino


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([link("a", "../etc/passwd", hard=True)], "outside of its root"),
        ([link("a", "/etc/passwd", hard=True)], "a hard link to"),
        ([link("a", "later", hard=True), file("later")], "'later', no file that came before"),
        ([link("l", "x"), link("a", "l", hard=True)], "a hard link to"),
        ([folder("d"), link("a", "d", hard=True)], "a hard link to"),
        ([link("a", "a", hard=True)], "a hard link to"),
    ],
)
def test_bad_hard_links(tmp_path: Path, members: list[Member], why: str) -> None:
    refused(tmp_path, tarred(members), why)


def test_a_name_with_nul(tmp_path: Path) -> None:
    refused(tmp_path, zipped([file("a\0b")]), r"'a\\x00b' has a NUL")
    pax = tarred([file("n" * 120, pax_headers={"path": "a\0b"})])
    refused(tmp_path, pax, "NUL|outside of its root")


def test_a_zip_name_in_an_unknown_code_page(tmp_path: Path) -> None:
    refused(tmp_path, zipped([file("cafe")]).replace(b"cafe", b"caf\xe9"), "not UTF-8")


@pytest.mark.parametrize("make", [tarred, zipped])
def test_dangerous_bits_are_masked(tmp_path: Path, make: Callable[..., bytes]) -> None:
    path = tmp_path / "modes"
    modes = {"suid": 0o4755, "sgid": 0o2755, "open": 0o666, "all": 0o7777, "none": 0o000}
    path.write_bytes(make([file(name, mode=mode) for name, mode in modes.items()]))
    old = os.umask(0)
    try:
        extract(path, tmp_path / "dest", progress=SILENT)
    finally:
        os.umask(old)
    found = {name: (tmp_path / "dest" / name).stat().st_mode & 0o7777 for name in modes}
    assert found == {"suid": 0o755, "sgid": 0o755, "open": 0o644, "all": 0o755, "none": 0o644}
    assert (tmp_path / "dest").stat().st_mode & 0o7777 == 0o755


def test_mtimes_are_kept_and_kept_sane(tmp_path: Path) -> None:
    times = {"plain": 1_600_000_000, "fraction": 1_600_000_000.75, "old": -5, "far": 1 << 35}
    path = tmp_path / "times.tar"
    path.write_bytes(tarred(file(name, mtime=mtime) for name, mtime in times.items()))
    extract(path, tmp_path / "dest", progress=SILENT)
    found = {name: (tmp_path / "dest" / name).stat().st_mtime for name in times}
    whole = 1_600_000_000
    assert found == {"plain": whole, "fraction": whole, "old": 0, "far": (1 << 32) - 1}


@pytest.mark.parametrize("make", [tarred, zipped])
def test_too_much(tmp_path: Path, make: Callable[..., bytes]) -> None:
    bomb = make([file("a", bytes(40_000)), file("b", bytes(40_000))])
    refused(tmp_path, bomb, "more than the 60000 bytes allowed", max_bytes=60_000)
    refused(tmp_path, make(file(f"f{n}") for n in range(9)), "more than 8 members", max_members=8)
    # Folders that nobody listed count too.
    refused(tmp_path, make([file("a/" * 20 + "b")]), "more than 8 members", max_members=8)


def test_names_alone_may_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimpack.archive.guard._MAX_TEXT", 1000)
    refused(tmp_path, tarred(file("n" * 200 + str(n)) for n in range(9)), "names of more than")
    refused(tmp_path, tarred(link(f"l{n}", "n" * 200) for n in range(9)), "names of more than")


def test_a_bomb_is_told_by_its_ratio() -> None:
    assert allowed_bytes(1000, 64 << 30) == 1 << 30
    assert allowed_bytes(1 << 30, 64 << 30) == 64 << 30
    assert allowed_bytes(10 << 20, 64 << 30) == 2500 << 20
    assert allowed_bytes(1 << 30, 100) == 100


def test_compressed_bombs_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimpack.archive.guard._BOMB_BYTES", 1 << 20)
    bomb = tarred([file("zeros", bytes(30 << 20))])
    refused(tmp_path, zstandard.compress(bomb), "unpacks to more than")
    refused(tmp_path, zipped([file("zeros", bytes(30 << 20))]), "unpacks to more than")
    script = tmp_path / "xz"
    script.write_bytes(bomb)
    subprocess.run(["xz", script], check=True)
    data = (tmp_path / "xz.xz").read_bytes()
    (tmp_path / "xz.xz").unlink()
    refused(tmp_path, data, "unpacks to more than")


def test_archives_inside_stay_as_they_are(tmp_path: Path) -> None:
    inner = zipped([file("../evil")])
    path = tmp_path / "outer.zip"
    path.write_bytes(zipped([file("inner.zip", inner)]))
    extract(path, tmp_path / "dest", progress=SILENT)
    assert (tmp_path / "dest/inner.zip").read_bytes() == inner


def test_what_is_in_the_way_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarred([file("a")]))
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/mine").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        extract(path, tmp_path / "dest", progress=SILENT)
    with pytest.raises(InputError, match="in the way"):
        extract(path, path, progress=SILENT)
    assert listing(tmp_path / "dest") == ["mine"]


def test_an_archive_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone"):
        extract(tmp_path / "gone", tmp_path / "dest", progress=SILENT)
    with pytest.raises(InputError, match="no regular file"):
        extract(tmp_path, tmp_path / "dest", progress=SILENT)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        extract(tmp_path / "pipe", tmp_path / "dest", progress=SILENT)


def test_finding_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no environment"):
        find_environment(tmp_path)
    deep = tmp_path / "a/b/c"
    (deep / "conda-meta").mkdir(parents=True)
    assert find_environment(tmp_path) == deep
    (tmp_path / "link").symlink_to("a")
    assert find_environment(tmp_path) == deep
    (tmp_path / "a/d/conda-meta").mkdir(parents=True)
    with pytest.raises(ArchiveError, match=r"several environments .*: 'a/d', 'a/b/c'"):
        find_environment(tmp_path)
    (tmp_path / "conda-meta").mkdir()  # the others are environments inside this one
    assert find_environment(tmp_path) == tmp_path


def test_an_environment_too_deep_is_none(tmp_path: Path) -> None:
    (tmp_path / "a/b/c/d/conda-meta").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="no environment"):
        find_environment(tmp_path)
