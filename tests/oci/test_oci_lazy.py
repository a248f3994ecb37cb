"""Layers whose files can be read one by one: eStargz and zstd:chunked.

They are read here as their readers do: from the end, or by the annotations, one piece at a
time; and as whole tars, by everybody else.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tarfile
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import zstandard

from slimpack.cache.record import layer_key, read_record, record_of
from slimpack.errors import ImageError, InputError
from slimpack.oci import toc
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression, Name, chosen
from slimpack.oci.image import make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import layer_members, merged_view, read_files
from slimpack.oci.tar import with_parents
from slimpack.oci.toc import LANDMARK, NO_LANDMARK, RESERVED
from slimpack.oci.validate import validate
from slimpack.tree import Entry, Kind, Tree, bytes_entry, hardlink_entry
from tests.oci.oci_images import MTIME, ZSTD, sample_config, sample_tree

LAZY: tuple[Name, ...] = ("estargz", "zstd:chunked")
PIECE = 1 << 16
BIG = random.Random(1).randbytes(PIECE) + b"a" * PIECE + b"the end"
FIRST = frozenset({"app/main.py", "opt/env/lib/data", "not/there"})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toc, "PIECE", PIECE)


def entries() -> list[Entry]:
    return [
        *sample_tree(),
        bytes_entry("opt/big", BIG, mode=0o755, owner="big"),
        bytes_entry("opt/full", BIG[:PIECE], owner="big"),
        bytes_entry("opt/twin", b"both", owner="big"),
        hardlink_entry("opt/other", "opt/twin", mode=0o644, owner="big"),
    ]


def built(
    folder: Path,
    name: Name,
    first: frozenset[str] = frozenset(),
    *,
    threads: int = 2,
    files: list[Entry] | None = None,
) -> Layer:
    compression = replace(chosen(name, None, first=first), threads=threads)
    return build_layer(
        "all",
        entries() if files is None else files,
        blobs=BlobStore(folder),
        mtime=MTIME,
        compression=compression,
    )


def blob_of(layer: Layer) -> bytes:
    with layer.open() as stream:
        return stream.read()


def tar_of(layer: Layer) -> bytes:
    with layer.open_tar() as stream:
        return stream.read()


def names_of(layer: Layer) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar_of(layer))) as archive:
        return archive.getnames()


def table_of(layer: Layer) -> list[dict[str, Any]]:
    """Return the entries of the table, found and checked as the formats' readers do."""
    blob = blob_of(layer)
    if layer.media_type.endswith("+gzip"):
        end = blob[-51:]
        assert end[:4] == b"\x1f\x8b\x08\x04"
        assert end[12:16] == b"SG\x16\x00"
        assert end[32:38] == b"STARGZ"
        assert zlib.decompress(end, 31) == b""
        member = zlib.decompressobj(31).decompress(blob[int(end[16:32], 16) : -51])
        with tarfile.open(fileobj=io.BytesIO(member)) as archive:
            (only,) = archive.getmembers()
            assert only.name == "stargz.index.json"
            text = cast("BinaryIO", archive.extractfile(only)).read()
        assert layer.annotations == {
            "containerd.io/snapshot/stargz/toc.digest": digest(text),
            "io.containers.estargz.uncompressed-size": str(layer.unpacked_size),
        }
    else:
        text = unpacked_part(layer, "manifest")
        found = json.loads(text)
        assert found["tarSplitDigest"] == digest(packed_part(layer, "tarsplit"))
    table: dict[str, Any] = json.loads(text)
    assert table["version"] == 1
    return cast("list[dict[str, Any]]", table["entries"])


def place_of(layer: Layer, part: str) -> list[int]:
    text = layer.annotations[f"io.github.containers.zstd-chunked.{part}-position"]
    return [int(number) for number in text.split(":")]


def packed_part(layer: Layer, part: str) -> bytes:
    start, size, *_ = place_of(layer, part)
    return blob_of(layer)[start : start + size]


def unpacked_part(layer: Layer, part: str) -> bytes:
    data = zstandard.ZstdDecompressor().decompress(packed_part(layer, part))
    assert len(data) == place_of(layer, part)[2]
    return data


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def piece(layer: Layer, item: Mapping[str, Any], size: int) -> bytes:
    """Return the content at an item of the table, from its place in the blob alone."""
    data = blob_of(layer)[item["offset"] : item.get("endOffset")]
    if layer.media_type.endswith("+gzip"):
        return zlib.decompressobj(31).decompress(data)[:size]
    return zstandard.ZstdDecompressor().decompress(data)[:size]


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("first", [frozenset[str](), FIRST], ids=["unordered", "ordered"])
def test_every_file_is_read_from_its_place_alone(
    tmp_path: Path, name: Name, first: frozenset[str]
) -> None:
    layer = built(tmp_path, name, first)
    expected = {entry.path: entry.read() for entry in entries() if entry.size}
    found: dict[str, bytes] = {}
    for item in table_of(layer):
        if "offset" not in item:
            continue
        size = int(item.get("chunkSize") or item["size"])
        data = piece(layer, item, size)
        assert len(data) == size <= PIECE
        if "chunkDigest" in item:
            assert item["chunkDigest"] == digest(data)
        assert item.get("chunkOffset", 0) == len(found.get(item["name"], b""))
        found[item["name"]] = found.get(item["name"], b"") + data
        if item["type"] == "reg" and "chunkSize" not in item:
            assert item["digest"] == digest(data)
    mark = {path: found.pop(path) for path in list(found) if path in RESERVED}
    assert found == expected
    assert mark in ({}, {LANDMARK if first else NO_LANDMARK: b"\x0f"})
    assert bool(mark) == (name == "estargz")
    (big,) = (one for one in table_of(layer) if one["name"] == "opt/big" and one["type"] == "reg")
    assert (big["digest"], big["size"], big["mode"]) == (digest(BIG), len(BIG), 0o755)


@pytest.mark.parametrize("name", LAZY)
def test_the_table_says_what_the_headers_say(tmp_path: Path, name: Name) -> None:
    layer = built(tmp_path, name, FIRST)
    kinds = {
        tarfile.REGTYPE: "reg",
        tarfile.DIRTYPE: "dir",
        tarfile.SYMTYPE: "symlink",
        tarfile.LNKTYPE: "hardlink",
    }
    with tarfile.open(fileobj=io.BytesIO(tar_of(layer))) as archive:
        expected = [
            (
                member.name + ("/" if member.isdir() else ""),
                kinds[member.type],
                *(member.mode, member.uid, member.gid, member.size, member.linkname),
            )
            for member in archive
            if member.name != "stargz.index.json"
        ]
    found = [
        (
            one["name"],
            one["type"],
            *(one.get(key, 0) for key in ("mode", "uid", "gid", "size")),
            one.get("linkName", ""),
        )
        for one in table_of(layer)
        if one["type"] != "chunk"
    ]
    assert found == expected
    assert {one["modtime"] for one in table_of(layer) if one["type"] != "chunk"} == {
        "2023-11-14T22:13:20Z"
    }


@pytest.mark.parametrize("name", LAZY)
def test_it_is_an_ordinary_layer(tmp_path: Path, name: Name) -> None:
    layer = built(tmp_path / "lazy", name)
    image = make_image([layer], sample_config())
    validate(image, blobs=True)
    plain = built(tmp_path / "plain", "zstd")
    assert (layer.diff_id == plain.diff_id) == (name == "zstd:chunked")
    seen = merged_view(image)
    assert list(seen) == list(merged_view(make_image([plain], sample_config())))
    contents = read_files(image, lambda path: path.startswith("opt/"), view=seen)
    assert (contents["opt/big"], contents["opt/other"]) == (BIG, b"both")


def test_zstd_chunked_ends_with_a_footer_that_repeats_the_annotations(tmp_path: Path) -> None:
    layer = built(tmp_path, "zstd:chunked")
    magic, size, *numbers, name = struct.unpack("<4sI7Q8s", blob_of(layer)[-72:])
    assert (magic, size, name) == (b"\x50\x2a\x4d\x18", 64, b"GnUlInUx")
    assert numbers == [*place_of(layer, "manifest"), *place_of(layer, "tarsplit")]
    checksum = layer.annotations["io.github.containers.zstd-chunked.manifest-checksum"]
    assert checksum == digest(packed_part(layer, "manifest"))


@pytest.mark.parametrize("first", [frozenset[str](), FIRST], ids=["unordered", "ordered"])
def test_tar_split_and_the_files_make_the_tar(tmp_path: Path, first: frozenset[str]) -> None:
    layer = built(tmp_path, "zstd:chunked", first)
    contents = {entry.path: entry.read() for entry in entries() if entry.size}
    parts = []
    lines = unpacked_part(layer, "tarsplit").splitlines()
    for number, line in enumerate(lines):
        item = json.loads(line)
        assert item["position"] == number
        if item["type"] == 2:
            parts.append(b64decode(item["payload"]))
        elif item.get("size"):
            data = contents[item["name"]]
            assert len(data) == item["size"]
            parts.append(data)
        else:
            assert item["payload"] is None
    assert digest(b"".join(parts)) == layer.diff_id


def test_files_of_a_start_come_first_and_the_landmark_ends_them(tmp_path: Path) -> None:
    first = FIRST | {"opt/other"}  # a hard link: its file is meant
    names = names_of(built(tmp_path, "estargz", first))
    begin = names[: names.index(LANDMARK)]
    kinds = {entry.path: entry.kind for entry in with_parents(entries())}
    files = [path for path in begin if kinds[path] is not Kind.DIRECTORY]
    assert sorted(files) == ["app/main.py", "opt/env/lib/data", "opt/twin"]
    assert begin[-3:] == files
    assert NO_LANDMARK not in names
    plain = names_of(built(tmp_path, "zstd:chunked", first))
    assert plain == [name for name in names if name not in RESERVED]


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("first", [frozenset[str](), frozenset({"else/where"})])
def test_without_files_of_a_start_nothing_is_fetched_ahead(
    tmp_path: Path, name: Name, first: frozenset[str]
) -> None:
    layer = built(tmp_path, name, first)
    assert layer.digest == built(tmp_path, name).digest
    assert (NO_LANDMARK in names_of(layer)) == (name == "estargz")
    assert LANDMARK not in names_of(layer)


class Ragged(io.BytesIO):
    """Gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7_777))


@pytest.mark.parametrize("name", LAZY)
def test_threads_and_streams_do_not_change_the_bytes(tmp_path: Path, name: Name) -> None:
    one = built(tmp_path, name, FIRST, threads=1)
    ragged = [
        replace(entry, opener=lambda: Ragged(BIG)) if entry.path == "opt/big" else entry
        for entry in entries()
    ]
    for threads in (1, 4):
        layer = built(tmp_path, name, FIRST, threads=threads, files=ragged)
        assert (layer.digest, layer.diff_id) == (one.digest, one.diff_id)


def test_progress_tells_of_all_bytes_but_the_table(tmp_path: Path) -> None:
    told: list[int] = []
    build_layer(
        "all",
        entries(),
        blobs=BlobStore(tmp_path),
        mtime=MTIME,
        compression=chosen("zstd:chunked", 3),
        advance=told.append,
    )
    assert sum(told) == built(tmp_path, "zstd").unpacked_size


@pytest.mark.parametrize("path", sorted(RESERVED))
def test_estargz_refuses_files_with_names_of_its_own(tmp_path: Path, path: str) -> None:
    files = [bytes_entry(path, b"mine")]
    with pytest.raises(ImageError, match=f"/{path} has a meaning of its own"):
        built(tmp_path, "estargz", files=files)
    assert not list(tmp_path.rglob("sha256/*"))
    assert built(tmp_path, "zstd:chunked", files=files).size


@pytest.mark.parametrize("name", LAZY)
def test_names_that_json_cannot_hold_are_refused(tmp_path: Path, name: Name) -> None:
    with pytest.raises(ImageError, match="is no UTF-8"):
        built(tmp_path, name, files=[bytes_entry("a\udcff", b"x")])


@pytest.mark.parametrize("name", LAZY)
def test_what_readers_need_survives_layouts_and_records(tmp_path: Path, name: Name) -> None:
    layer = built(tmp_path / "blobs", name, FIRST)
    image = make_image([layer], sample_config())
    write_layout(image, tmp_path / "layout", ["lazy:1"])
    found = read_image(tmp_path / "layout")
    assert found.digest == image.digest
    assert found.layers[0].annotations == layer.annotations != {}
    again = make_image(found.layers, sample_config())
    assert again.manifest_json == image.manifest_json
    record = read_record(record_of(layer).json, "the record")
    assert record.layer("all", layer.source).annotations == layer.annotations
    assert image.plain().layers[0].annotations == {}


def test_records_bound_annotations(tmp_path: Path) -> None:
    layer = replace(built(tmp_path, "estargz"), annotations={"key": "long" * 2000})
    with pytest.raises(ImageError):
        read_record(record_of(layer).json, "the record")


def test_keys_tell_formats_and_orders_apart() -> None:
    tree = list(Tree(sample_tree()))

    def key(compression: Compression) -> str | None:
        return layer_key(tree, mtime=MTIME, compression=compression)

    elsewhere = frozenset({"not/there"})
    keys = [
        key(chosen(name, 6, first=first))
        for name in cast("tuple[Name, ...]", ("zstd", "gzip", *LAZY))
        for first in (frozenset[str](), FIRST)
    ]
    assert None not in keys
    assert len(set(keys)) == 6  # the order means nothing to the first two
    assert key(chosen("estargz", 6, first=elsewhere)) == key(chosen("estargz", 6))
    assert key(ZSTD) != key(chosen("zstd:chunked", ZSTD.level))


def test_pieces_without_compression_have_no_format() -> None:
    with pytest.raises(InputError, match="no format"):
        Compression("none", 0, chunked=True)


def test_members_of_a_foreign_layer_at_other_places_are_files(tmp_path: Path) -> None:
    files = [bytes_entry(f"app/{LANDMARK}", b"mine")]
    layer = built(tmp_path, "estargz", files=files)
    assert [member.path for member in layer_members(layer)] == ["app", f"app/{LANDMARK}"]
