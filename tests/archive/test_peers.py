"""What other programs read of ours, and we of theirs."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from slimpack.archive import zipwriter
from slimpack.archive.extract import extract
from slimpack.archive.formats import Format, Packing
from slimpack.archive.zipreader import zip_items
from slimpack.progress import SILENT
from slimpack.tree import Kind, Tree, bytes_entry
from tests.archive.samples import MTIME, Facts, expected, facts, sample
from tests.archive.test_write import written

TARS: list[Format] = ["tar", "tar.gz", "tar.zst", "tar.xz", "tar.bz2"]


def ran(*command: object, cwd: Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "TZ": "America/New_York", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def pack(tmp_path: Path, packing: Packing) -> tuple[Path, Path]:
    path, dest = tmp_path / f"env.{packing.format}", tmp_path / "dest"
    written(sample(), path, packing)
    dest.mkdir()
    return path, dest


@pytest.mark.parametrize("named", TARS)
def test_gnu_tar(tmp_path: Path, named: Format) -> None:
    path, dest = pack(tmp_path, Packing(named))
    ran("tar", "-xf", path, cwd=dest)
    assert facts(dest) == expected(sample())
    assert (dest / "bin/python3.11").stat().st_mtime == MTIME


@pytest.mark.parametrize("named", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_busybox_tar(tmp_path: Path, named: Format) -> None:
    path, dest = pack(tmp_path, Packing(named))
    flag = {"tar": "", "tar.gz": "z", "tar.bz2": "j", "tar.xz": "J"}[named]
    ran("busybox", "tar", f"-x{flag}f", path, cwd=dest)
    # It knows no pax names and cuts longer ones.
    short = {k: v for k, v in expected(sample()).items() if len(k) < 100 and k.isascii()}
    assert short.items() <= facts(dest).items()


@pytest.mark.parametrize("named", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_python_tarfile(tmp_path: Path, named: Format) -> None:
    path, dest = pack(tmp_path, Packing(named))
    with tarfile.open(path) as archive:
        archive.extractall(dest, filter="data")
    assert facts(dest) == expected(sample())


@pytest.mark.parametrize("links", [True, False])
def test_unzip(tmp_path: Path, links: bool) -> None:
    path, dest = pack(tmp_path, Packing("zip", zip_symlinks=links))
    ran("unzip", "-q", path, cwd=dest)
    found = facts(dest)
    assert (found == expected(sample())) == links
    assert (dest / "bin/python").is_symlink() == links
    assert os.access(dest / "bin/python", os.X_OK)
    assert (dest / "lib/big.bin").stat().st_mtime == MTIME  # whatever the zone


def test_busybox_unzip(tmp_path: Path) -> None:
    path, dest = pack(tmp_path, Packing("zip"))
    ran("busybox", "unzip", "-q", path, cwd=dest)
    assert contents(facts(dest)) == contents(copied(tmp_path, path))


def test_python_zipfile(tmp_path: Path) -> None:
    path, dest = pack(tmp_path, Packing("zip"))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(dest)
    assert contents(facts(dest)) == contents(copied(tmp_path, path))


def copied(tmp_path: Path, path: Path) -> Facts:
    extract(path, tmp_path / "ours", progress=SILENT)
    return facts(tmp_path / "ours")


def contents(found: Facts) -> dict[str, object]:
    """Kinds and contents: these readers set modes as they like."""
    return {name: (fact[0], fact[-1] if fact[0] == "file" else "") for name, fact in found.items()}


def test_unsquashfs(tmp_path: Path) -> None:
    path, dest = pack(tmp_path, Packing("squashfs"))
    ran("unsquashfs", "-q", "-n", "-f", "-d", dest, path, cwd=tmp_path)
    assert facts(dest) == expected(sample())
    listed = subprocess.run(
        ["unsquashfs", "-lln", path], capture_output=True, text=True, check=True
    ).stdout
    assert " 0/0 " in listed.splitlines()[0]


def test_the_script_unpacks_itself(tmp_path: Path) -> None:
    path, dest = pack(tmp_path, Packing("sh"))
    ran(path, dest, cwd=tmp_path)
    assert facts(dest) == expected(sample())


def test_zip64_of_big_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipwriter, "_BIG", 1000)  # as if 4 GB were 1000 bytes
    path, dest = pack(tmp_path, Packing("zip", zip_symlinks=True))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("lib/big.bin").extract_version == 45
    ran("unzip", "-q", path, cwd=dest)
    assert facts(dest) == expected(sample()) == copied(tmp_path, path)


def test_zip64_of_many_members(tmp_path: Path) -> None:
    many = Tree(bytes_entry(f"{number % 10}/{number}", b"") for number in range(66_000))
    path = tmp_path / "many.zip"
    written(many, path, Packing("zip"))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 66_010
    with path.open("rb") as stream:
        names = {item.name for item, _ in zip_items(stream, "many.zip", max_members=70_000)}
    assert len(names) == 66_010


def test_65535_members_need_no_zip64(tmp_path: Path) -> None:
    """The number that says "see the zip64 record" may also mean itself; zipfile writes it so."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(65_535):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    assert b"PK\6\7" not in path.read_bytes()[-100:]
    with path.open("rb") as stream:
        items = zip_items(stream, "many.zip", max_members=70_000)
        assert sum(1 for _ in items) == 65_535


def theirs(tmp_path: Path) -> Path:
    """A folder with the sample, for other programs to pack."""
    tree = Tree(entry for entry in sample() if entry.kind is not Kind.DIRECTORY)
    written(tree, tmp_path / "src", Packing("folder"))
    return tmp_path / "src"


@pytest.mark.parametrize(
    "command",
    [
        "tar -cf {} .",
        "tar --format=gnu -czf {} .",
        "tar --format=pax -cJf {} .",
        "tar --format=pax -cjf {} .",
        "tar --zstd -cf {} .",
        "busybox tar -cf {} .",
        "zip -q -r -y {}.zip .",
        # Sizes come after the data; Info-ZIP cannot write links that way.
        "find . -type l -delete && zip -q -r - . | cat > {}.zip",
        "mksquashfs . {} -quiet -no-progress",
        "mksquashfs . {} -quiet -no-progress -comp xz",
        "mksquashfs . {} -quiet -no-progress -noI -noD -noF -no-fragments -b 4K",
        "mksquashfs . {} -quiet -no-progress -comp zstd -b 1M -nopad",
    ],
)
def test_archives_of_others(tmp_path: Path, command: str) -> None:
    source = theirs(tmp_path)
    path = tmp_path / "theirs"
    ran("sh", "-c", command.format(path), cwd=source)
    if ".zip" in command:
        path = tmp_path / "theirs.zip"
    extract(path, tmp_path / "dest", progress=SILENT)
    assert facts(tmp_path / "dest") == facts(source)
    assert (tmp_path / "dest/lib/big.bin").stat().st_mtime == MTIME
