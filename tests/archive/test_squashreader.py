"""squashfs images with something planted in them."""

from __future__ import annotations

import io
import lzma
import struct
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from slimpack.archive.extract import extract
from slimpack.archive.items import Item
from slimpack.archive.squashcodecs import block_decoder
from slimpack.archive.squashreader import squashfs_items
from slimpack.errors import ArchiveError
from slimpack.progress import SILENT
from tests.archive.planted import refused


def squashed(tmp_path: Path, *pseudo: str) -> bytes:
    source = tmp_path / "src"
    source.mkdir()
    (source / "file").write_text("data" * 1000)
    command: list[str | Path] = [
        "mksquashfs",
        source,
        tmp_path / "sq",
        "-quiet",
        "-no-progress",
        "-noI",
    ]
    for line in pseudo:
        command += ["-p", line]
    subprocess.run(command, check=True, capture_output=True)
    data = (tmp_path / "sq").read_bytes()
    for path in (tmp_path / "sq", source / "file"):
        path.unlink()
    source.rmdir()
    return data


@pytest.mark.parametrize(
    ("pseudo", "why"),
    [
        ("null c 666 0 0 1 3", "'null' is a device"),
        ("pipe i 666 0 0 f", "'pipe' is a device, a FIFO"),
        ("out s 777 0 0 ../../etc", "leads out"),
        ("abs s 777 0 0 /etc/passwd", "not a relative path"),
    ],
)
def test_hostile_squashfs(tmp_path: Path, pseudo: str, why: str) -> None:
    refused(tmp_path, squashed(tmp_path, pseudo), why)


def test_a_squashfs_whose_names_lead_elsewhere(tmp_path: Path) -> None:
    data = squashed(tmp_path, "ab d 755 0 0", "abcd d 755 0 0")
    # With -noI the folder's listing lies open in the image.
    refused(tmp_path, data.replace(b"\x01\x00ab", b"\x01\x00.."), "leads elsewhere")
    refused(tmp_path, data.replace(b"\x03\x00abcd", b"\x03\x00../e"), "leads elsewhere")
    refused(tmp_path, data.replace(b"\x03\x00abcd", b"\x03\x00file"), "is there twice")


def test_a_squashfs_with_setuid_files_and_limits(tmp_path: Path) -> None:
    data = squashed(tmp_path, "file m 4777 0 0")
    path = tmp_path / "image"
    path.write_bytes(data)
    extract(path, tmp_path / "dest", progress=SILENT)
    assert (tmp_path / "dest/file").stat().st_mode & 0o7777 == 0o755
    path.unlink()
    (tmp_path / "dest/file").unlink()
    (tmp_path / "dest").rmdir()
    refused(tmp_path, data, "more than the 100 bytes", max_bytes=100)
    refused(tmp_path, data, "more than 0 members", max_members=0)
    lzo = data[:20] + struct.pack("<H", 3) + data[22:]
    refused(tmp_path, lzo, "compressed in a way that is not supported")


@pytest.mark.parametrize(
    ("codec", "pack"), [(1, zlib.compress), (4, lzma.compress), (6, zstandard.compress)]
)
def test_a_squashfs_block_may_not_grow(codec: int, pack: Callable[[bytes], bytes]) -> None:
    unpack = block_decoder(codec, "image")
    assert unpack(pack(bytes(1 << 17)), 1 << 17) == bytes(1 << 17)
    with pytest.raises(ArchiveError, match="more than it may"):
        unpack(pack(bytes(1 << 24)), 1 << 17)
    with pytest.raises(ArchiveError, match="image is damaged"):
        unpack(pack(bytes(1 << 16))[:-5], 1 << 17)


def test_a_huge_listing_is_not_kept(tmp_path: Path) -> None:
    """Paths are put together one by one: a listing compresses to next to nothing."""
    folder = tmp_path / "src" / ("d" * 200)
    folder.mkdir(parents=True)
    for number in range(5000):
        (folder / f"{number:0200}").symlink_to("x")
    path = tmp_path / "image"
    subprocess.run(["mksquashfs", tmp_path / "src", path, "-quiet", "-no-progress"], check=True)
    with path.open("rb") as stream:
        items = squashfs_items(stream, "x", max_members=10_000)
        tracemalloc.start()
        try:
            assert sum(1 for _ in items) == 5002
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 2_500_000


def test_fragments_unpacked_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimpack.archive.squashreader._MAX_FRAGMENTS", 1000)
    refused(tmp_path, squashed(tmp_path), "hostile disorder")


def test_a_squashfs_folder_in_two_places(tmp_path: Path) -> None:
    data = squashed(tmp_path, "one d 755 0 0", "two d 755 0 0")
    items = list(squashfs_items(io.BytesIO(data), "x", max_members=10))
    assert [item.name for item, _ in items] == [".", "file", "one", "two"]
    assert items[1][0] == Item("file", "file", 0o644, items[1][0].mtime, 4000)
    at = data.index(b"\x02\x00one")  # before it: inode offset, number, kind
    two = data.index(b"\x02\x00two")
    same = data[: two - 6] + data[at - 6 : at - 4] + data[two - 4 :]
    refused(tmp_path, same, "lies in two places")
    # An entry that calls it a file makes it none.
    lying = same[: two - 2] + b"\2\0" + same[two:]
    refused(tmp_path, lying, "lies in two places")
