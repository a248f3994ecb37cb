"""What a layer lists, told from what it was written of: the same as a reader finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.oci.blobs import BlobStore
from slimpack.oci.layer import build_layer
from slimpack.oci.members import written_members
from slimpack.oci.rootfs import layer_members
from slimpack.tree import Entry, Kind, bytes_entry, directory_entry, hardlink_entry

LONG = f"{'d' * 90}/{'e' * 90}"
ENTRIES = [
    directory_entry("tmp", mode=0o1777),
    bytes_entry("a/empty", b""),
    bytes_entry("a/block", bytes(512), mode=0o755),
    bytes_entry("a/odd", b"x" * 1025, owner="p"),
    bytes_entry(f"{LONG}/with-prefix", b"1"),
    bytes_entry(f"{LONG}/{'f' * 120}", b"needs a pax record"),
    bytes_entry("a/gr\u00fc\u00df", b"2"),
    bytes_entry("a/\udcff", b"no UTF-8"),
    Entry("a/link", Kind.SYMLINK, 0o777, link="../" * 40 + "x"),
    hardlink_entry("a/again", "a/odd", mode=0o644, owner="p"),
    Entry("a/owned", Kind.SYMLINK, 0o777, link="odd", uid=3_000_000, gid=7),
]


@pytest.mark.parametrize("count", range(len(ENTRIES) + 1))
def test_as_a_reader_finds_them(tmp_path: Path, count: int) -> None:
    entries = ENTRIES if count == len(ENTRIES) else ENTRIES[:1] + ENTRIES[2:4] + ENTRIES[count:]
    entries = list({entry.path: entry for entry in entries}.values())
    layer = build_layer("x", entries, blobs=BlobStore(tmp_path), mtime=1_600_000_000)
    assert written_members(entries, 1_600_000_000) == layer_members(layer)
