"""Archives that are cut off, altered, lying about themselves, or none at all."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import zstandard

from slimpack.archive.extract import extract
from slimpack.archive.formats import Packing
from slimpack.progress import SILENT
from tests.archive.planted import file, folder, link, refused, tarred, zipped
from tests.archive.samples import sample
from tests.archive.test_write import written

KINDS = ["tar", "tar.gz", "tar.zst", "tar.xz", "tar.bz2", "zip", "squashfs", "sh"]


def made(tmp_path: Path, named: str) -> bytes:
    path = tmp_path / "made"
    written(sample(), path, Packing(named))  # type: ignore[arg-type]
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.mark.parametrize("named", KINDS)
def test_cut_off_anywhere(tmp_path: Path, named: str) -> None:
    data = made(tmp_path, named)
    ends = [len(data) - 5000, len(data) // 2, 600, 100]
    # A tar's second closing block and mksquashfs' padding are zeros that nobody misses.
    ends += [] if named in ("tar", "squashfs") else [len(data) - 1, len(data) - 20]
    for end in ends:
        refused(tmp_path, data[:end], "cut off|damaged|no zip|not an? |not a self")


def test_a_tar_that_ends_between_two_members(tmp_path: Path) -> None:
    refused(tmp_path, tarred([file("a"), file("b")])[:1024], "cut off")


@pytest.mark.parametrize("named", KINDS)
def test_garbage_after_the_end(tmp_path: Path, named: str) -> None:
    refused(tmp_path, made(tmp_path, named) + b"garbage" * 100, "after its end|damaged")


def test_a_script_that_was_altered(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path, "sh"))
    # The last byte is the gzip trailer's size; the digest is looked at besides.
    data[-1] ^= 1
    refused(tmp_path, bytes(data), "damaged|digest")
    refused(tmp_path, b"#!/bin/sh\necho hello\n", "not a self-extracting archive")


def test_a_payload_with_the_wrong_digest(tmp_path: Path) -> None:
    data = made(tmp_path, "sh")
    at = data.index(b"sha256=") + 7
    refused(tmp_path, data[:at] + b"0" * 64 + data[at + 64 :], "does not match its digest")


def test_two_payload_lines(tmp_path: Path) -> None:
    data = made(tmp_path, "sh")
    start = data.index(b"# slimpack payload")
    line = data[start : data.index(b"\n", start) + 1]
    both = data[:start] + line + data[start:]
    refused(tmp_path, both, "cut off|after its end|where its payload")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an archive"),
        (b"hello", "not an archive"),
        (b"\x1f\x8b\x08\x00" + bytes(6) + b"junk", "damaged|not a tar|cut off"),
        (gzip.compress(b"x", mtime=0), "cut off"),
        (gzip.compress(bytes(range(256)) * 4, mtime=0), "not a tar archive"),
        (zstandard.compress(b"hello world" * 100), "not a tar archive"),
        (b"BZh91AY&SYjunk", "damaged"),
        (b"\xfd7zXZ\0junk", "damaged"),
        (b"hsqs" + bytes(100), "damaged|no squashfs"),
        (b"PK\5\6" + bytes(4) + b"\1\0\1\0" + bytes(10), "damaged"),
    ],
)
def test_what_is_no_archive(tmp_path: Path, data: bytes, why: str) -> None:
    refused(tmp_path, data, why)


def patched(data: bytes, magic: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field of every record that begins with `magic`."""
    at = -1
    while (at := data.find(magic, at + 1)) >= 0:
        data = data[: at + offset] + value + data[at + offset + len(value) :]
    return data


LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


def test_lying_zips(tmp_path: Path) -> None:
    data = zipped([file("one", b"1" * 5000), file("two", b"2" * 5000)])
    for size in (4999, 5001, 1, 1 << 31):
        refused(tmp_path, patched(data, CENTRAL, 24, struct.pack("<I", size)), "declares|end where")
    refused(tmp_path, patched(data, CENTRAL, 16, b"\0\0\0\0"), "checksum")
    refused(tmp_path, patched(data, CENTRAL, 8, b"\1\0"), "encrypted")
    refused(tmp_path, patched(data, LOCAL, 6, b"\1\0"), "encrypted")
    refused(tmp_path, patched(data, CENTRAL, 10, b"\0\0"), "contradicts")
    other = patched(patched(data, CENTRAL, 10, b"\x0e\0"), LOCAL, 8, b"\x0e\0")
    refused(tmp_path, other, "unsupported compression 14")
    refused(tmp_path, patched(data, LOCAL, 30, b"ONE"), "contradicts")
    refused(tmp_path, patched(data, CENTRAL, 42, b"\0\0\0\0"), "contradicts|overlaps")
    refused(tmp_path, patched(data, CENTRAL, 20, struct.pack("<I", 5000)), "overlaps")
    refused(tmp_path, patched(data, END, 8, b"\1\0\1\0"), "another size")
    refused(tmp_path, patched(data, END, 8, b"\2\0\3\0"), "split")
    refused(tmp_path, patched(data, END, 4, b"\1\0"), "split")
    refused(tmp_path, patched(data, END, 8, b"\xff\xff\xff\xff"), "zip64|damaged")
    refused(tmp_path, data[:4] + b"junk" + data[4:], "not where it should|contradicts")


def test_overlapping_members(tmp_path: Path) -> None:
    """Two entries of the directory for one deflated stream: how small zips grow huge."""
    data = zipped([file("aaa", bytes(5000)), file("aab", bytes(5000))])
    second = data.index(LOCAL, 4)
    entry = data.index(CENTRAL, data.index(CENTRAL) + 4)
    same = data[:second].replace(b"aaa", b"aab") + data[second:]
    overlap = same[: entry + 42] + struct.pack("<I", 0) + same[entry + 46 :]
    refused(tmp_path, overlap, "overlaps|contradicts")


def test_a_folder_with_content_and_a_link_with_too_long_a_target(tmp_path: Path) -> None:
    refused(tmp_path, zipped([(*folder("a")[:2], b"data")]), "folder with content")
    refused(tmp_path, zipped([link("a", "x" * 5000)]), "too long")


def test_a_zip_of_dos_has_plain_modes(tmp_path: Path) -> None:
    path = tmp_path / "dos.zip"
    path.write_bytes(zipped([file("a"), file("d/b")], create_system=0, external_attr=0))
    extract(path, tmp_path / "dest", progress=SILENT)
    assert (tmp_path / "dest/d/b").stat().st_mode & 0o7777 == 0o644
