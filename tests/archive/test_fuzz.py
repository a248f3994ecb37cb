"""Whatever the bytes: an archive, or an error of ours, and nothing left behind."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.archive.extract import extract
from slimpack.archive.formats import FORMATS, Format, Packing
from slimpack.errors import ArchiveError, InputError
from slimpack.progress import SILENT
from slimpack.tree import Tree, bytes_entry, directory_entry, symlink_entry
from tests.archive.samples import listing
from tests.archive.test_write import written

FILES = [named for named in FORMATS if named != "folder"]
MAGIC = [b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00", b"\xfd7zXZ\0", b"BZh9", b"PK\3\4", b"PK\5\6"]
MAGIC += [b"hsqs", b"#!/bin/sh\n", bytes(257) + b"ustar\0"]


@cache
def valid(named: Format) -> bytes:
    tree = Tree(
        [
            bytes_entry("bin/tool", b"#!/bin/sh\n" * 30, mode=0o755),
            symlink_entry("bin/link", "tool"),
            bytes_entry("lib/é.txt", bytes(range(256)) * 20),
            directory_entry("empty"),
        ]
    )
    # What is not compressed is reached by mutations more deeply.
    level = 0 if named == "zip" else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "archive")
        if named == "squashfs":
            written(tree, Path(folder, "env"), Packing("folder"))
            plain = ["-noI", "-noD", "-noF", "-quiet", "-no-progress"]
            subprocess.run(["mksquashfs", Path(folder, "env"), path, *plain], check=True)
            return path.read_bytes()
        written(tree, path, Packing(named, level, zip_symlinks=True, payload="none"))
        return path.read_bytes()


def check(data: bytes) -> None:
    """Unpack `data` as a user would and look at what is there afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "archive").write_bytes(data)
        try:
            extract(
                root / "archive",
                root / "dest",
                max_bytes=10_000_000,
                max_members=1000,
                progress=SILENT,
            )
        except (ArchiveError, InputError):
            assert listing(root) == ["archive"]
            return
        assert listing(root) == ["archive", "dest"]
        for path in (root / "dest").rglob("*"):
            assert path.resolve().is_relative_to(root / "dest")
            assert path.is_symlink() or path.stat().st_mode & 0o7022 == 0


@settings(max_examples=300, deadline=None)
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=2000))
def test_random_bytes(magic: bytes, rest: bytes) -> None:
    check(magic + rest)


@pytest.mark.parametrize("named", FILES)
@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_mutated_archives(named: Format, draw: st.DataObject) -> None:
    data = bytearray(valid(named))
    # The ends are where the structure is.
    anywhere = st.integers(0, len(data) - 1)
    place = st.one_of(
        anywhere, st.integers(0, min(1000, len(data) - 1)), anywhere.map(lambda n: -1 - n % 600)
    )
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(place) % len(data)
        match draw.draw(st.sampled_from(["set", "cut", "put", "copy"])):
            case "set":
                data[at] = draw.draw(st.sampled_from([0, 1, 2, 0x2F, 0x7F, 0x80, 0xFF, 0x2E]))
            case "cut":
                del data[at : at + draw.draw(st.integers(1, 50))]
            case "put":
                data[at:at] = draw.draw(st.binary(max_size=20))
            case _:
                start = draw.draw(anywhere)
                data[at : at + 16] = data[start : start + 16]
        data = data or bytearray(1)
    check(bytes(data))
