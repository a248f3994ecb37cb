"""Keys of layers: everything that the bytes follow from, and records that may be hostile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.cache.record import LayerRecord, layer_key, read_record
from slimpack.errors import ImageError
from slimpack.oci.compress import Compression
from slimpack.oci.digest import HashingWriter, sha256
from slimpack.oci.tar import FORMAT, write_tar
from slimpack.tree import (
    Entry,
    Kind,
    bytes_entry,
    directory_entry,
    hardlink_entry,
    symlink_entry,
)

RECORD = LayerRecord(
    "application/vnd.oci.image.layer.v1.tar+zstd", sha256(b"a"), 100, sha256(b"b"), 2048
)

names = st.text("abcdé\udc80\n ", min_size=1, max_size=8)
modes = st.sampled_from([0o644, 0o755, 0o4755])
ids = st.sampled_from([0, 1, 65532])


@st.composite
def entry(draw: st.DrawFn) -> Entry:
    path, mode, uid, gid = f"opt/{draw(names)}", draw(modes), draw(ids), draw(ids)
    kind = draw(st.sampled_from(list(Kind)))
    if kind is Kind.FILE:
        made = bytes_entry(path, draw(st.binary(max_size=4)), mode=mode)
        return replace(made, uid=uid, gid=gid)
    if kind is Kind.SYMLINK:
        return replace(symlink_entry(path, draw(names)), uid=uid, gid=gid)
    if kind is Kind.HARDLINK:
        return hardlink_entry(path, f"opt/{draw(names)}/x", mode=mode, uid=uid, gid=gid)
    return directory_entry(path, mode=mode, uid=uid, gid=gid)


def told(entries: list[Entry]) -> list[tuple[object, ...]]:
    """Return all of the entries that a layer's bytes follow from."""
    return [
        (e.path, e.kind, e.mode, e.uid, e.gid, e.size, e.link, e.read() if e.opener else b"")
        for e in entries
    ]


def key(entries: list[Entry], mtime: int = 0, compression: Compression | None = None) -> str | None:
    return layer_key(entries, mtime=mtime, compression=compression or Compression())


@given(first=st.lists(entry(), max_size=4), second=st.lists(entry(), max_size=4))
def test_two_lists_have_one_key_exactly_when_they_tell_the_same(
    first: list[Entry], second: list[Entry]
) -> None:
    assert (key(first) == key(second)) == (told(first) == told(second))


@given(entries=st.lists(entry(), min_size=1, max_size=4), data=st.data())
def test_any_change_of_any_field_changes_the_key(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    old = entries[place]
    changes: list[dict[str, Any]] = [
        {"path": old.path + "x"},
        {"mode": old.mode ^ 0o020},
        {"uid": old.uid + 1},
        {"gid": old.gid + 1},
    ]
    if old.kind is Kind.FILE:
        changes += [{"size": old.size + 1}, {"identity": old.identity + "x"}]
    if old.link:
        changes.append({"link": old.link + "x"})
    for change in changes:
        new = [*entries[:place], replace(old, **change), *entries[place + 1 :]]
        assert key(new) != key(entries), change


def test_order_time_compression_and_owner() -> None:
    entries = [bytes_entry("a", b"1", owner="x"), bytes_entry("b", b"2")]
    keys = [
        key(entries),
        key(entries[::-1]),
        key(entries, 1),
        key(entries, 0, Compression(level=3)),
        key(entries, 0, Compression("gzip", 6)),
        key(entries[:1]),
        key([]),
    ]
    assert len({*keys}) == len(keys)
    # Whose a file is and how many threads compress it, no byte of the layer tells.
    assert key(entries) == key([replace(one, owner="") for one in entries])
    assert key(entries) == key(entries, 0, Compression(threads=2))


def test_what_has_no_identity_or_could_be_mistaken_has_no_key() -> None:
    known = bytes_entry("a", b"1")
    assert key([known]) is not None
    assert key([known, replace(bytes_entry("b", b"2"), identity="")]) is None
    assert key([replace(known, identity="a\0b")]) is None
    assert key([replace(symlink_entry("l", "x"), link="x\0y")]) is None


def test_the_format_of_tars_is_raised_when_their_bytes_change() -> None:
    entries = [
        directory_entry("tmp", mode=0o1777),
        bytes_entry("opt/env/lib/a.py", b"print()\n"),
        bytes_entry("opt/env/lib/__pycache__/a.cpython-311.pyc", b"\0" * 700),
        bytes_entry("opt/env/lib/liba.so.1", b"\x7fELF", mode=0o755),
        symlink_entry("opt/env/lib/liba.so", "liba.so.1"),
        bytes_entry("opt/" + "long/" * 60 + "ä", b"x"),
        hardlink_entry("opt/env/b.py", "opt/env/lib/a.py", mode=0o644),
        replace(bytes_entry("var/big", b""), uid=1 << 30, gid=65532),
    ]
    sink = HashingWriter(_Nowhere())
    write_tar(entries, sink, mtime=315_532_800)
    # Another digest here: raise slimpack.oci.tar.FORMAT, or caches hold layers of before.
    assert (FORMAT, sink.digest) == (
        1,
        "sha256:307834a435fbd140fc6cdaacb297e6a04f319e0b2b41a20e5097506607f9d3ed",
    )


class _Nowhere:
    def write(self, data: bytes, /) -> object:
        return len(data)


def test_a_record_comes_back() -> None:
    assert read_record(RECORD.json, "x") == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"media_type": "text/plain"},
        {"media_type": 1},
        {"digest": "sha256:../../x"},
        {"digest": None},
        {"diff_id": "md5:1"},
        {"size": -1},
        {"size": 0},
        {"size": 1 << 60},
        {"size": True},
        {"size": 1.5},
        {"unpacked_size": None},
        {"unpacked_size": 1 << 60},
    ],
)
def test_records_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    data = json.dumps({**json.loads(RECORD.json), **change}).encode()
    with pytest.raises(ImageError, match="the record"):
        read_record(data, "the record")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", RECORD.json + b" " * 5000, b"\xff"])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="the record"):
        read_record(data, "the record")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_record(data, "the record")
