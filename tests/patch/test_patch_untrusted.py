"""Patches that lie, are damaged, or do not belong here: refused, and nothing is left."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError, SlimpackError
from slimpack.oci.layer import Layer
from slimpack.patch.apply import Patcher
from slimpack.patch.info import MAGIC, can_rebuild, read_info
from slimpack.patch.segment import MAX_NEW
from tests.oci.oci_images import files_below
from tests.patch.patching import files, made, noise, rebuilt


@dataclass(frozen=True)
class Case:
    folder: Path
    old: Layer
    new: Layer
    patch: bytes

    def refuse(self, patch: bytes, match: str = ".") -> None:
        with pytest.raises(ImageError, match=match):
            rebuilt(patch, [self.old], self.folder)
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        blobs = self.folder / "blobs"
        assert not blobs.exists() or files_below(blobs) == []


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("patch")
    same = noise(2, 5000)
    old = files(folder, {"a": noise(1, 5000), "b": same})
    new = files(folder, {"a": noise(1, 5000) + b"!", "b": same, "c": b"text"})
    return Case(folder, old, new, made(new, [old], folder)[1])


def parts(patch: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return the header, the plan of the first segment, and what follows."""
    at = len(MAGIC) + 4
    (length,) = struct.unpack("<I", patch[at - 4 : at])
    header = json.loads(patch[at : at + length])
    at += length
    plan, _ = struct.unpack("<II", patch[at : at + 8])
    at += 8
    table = json.loads(zstandard.ZstdDecompressor().decompress(patch[at : at + plan]))
    return header, table, patch[at + plan :]


def put(header: dict[str, Any], table: dict[str, Any], rest: bytes) -> bytes:
    """Write a patch again, with lengths that are right."""
    plan = zstandard.ZstdCompressor().compress(json.dumps(table).encode())
    body = struct.pack("<II", len(plan), len(rest)) + plan + rest
    text = json.dumps({**header, "body": len(body)}).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + body


def test_what_is_written_again_is_taken(case: Case, tmp_path: Path) -> None:
    """Else the other tests would prove nothing."""
    assert rebuilt(put(*parts(case.patch)), [case.old], tmp_path) == case.new


def test_an_absent_base_is_named(case: Case) -> None:
    expected = pytest.raises(ImageError, match=f"needs layer {case.old.digest}, which is not here")
    with Patcher(lambda digest: None, scratch=case.folder / "none") as patcher, expected:
        patcher.check(read_info(io.BytesIO(case.patch)))
    with pytest.raises(ImageError, match="is not here"):
        rebuilt(case.patch, [], case.folder)
    case.nothing_is_left()


def test_another_base_of_that_name(case: Case) -> None:
    for other in (case.new, files(case.folder, {"a": b"1"})):
        found = partial(_always, other)
        expected = pytest.raises(ImageError, match="something that it is not")
        with Patcher(found, scratch=case.folder) as patcher, expected:
            patcher.check(read_info(io.BytesIO(case.patch)))


def _always(layer: Layer, digest: str) -> Layer:
    return layer


def test_another_compressor_is_told_before_anything_is_done(case: Case) -> None:
    header, table, rest = parts(case.patch)
    header["compression"]["library"] = "zstd 9.9.9"
    patch = put(header, table, rest)
    assert "zstd 9.9.9" in can_rebuild(read_info(io.BytesIO(patch)))
    assert can_rebuild(read_info(io.BytesIO(case.patch))) == ""
    case.refuse(patch, "was compressed by zstd 9.9.9, and this machine has zstd")


def test_another_level_gives_another_blob(case: Case) -> None:
    header, table, rest = parts(case.patch)
    header["compression"]["level"] = 1
    header["target"]["size"] += 10_000
    case.refuse(put(header, table, rest), "gives sha256:.* instead")


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("version",), 2, "version 2, expected 1"),
        (("version",), [], "version"),
        (("target", "digest"), "sha256:0", "is not a sha256 digest"),
        (("target", "digest"), "sha256:" + "0" * 64, "instead"),
        (("target", "diffID"), "sha256:" + "0" * 64, "gives the tar"),
        (("target", "size"), 10, "more than the 10 bytes"),
        (("target", "size"), 1 << 50, "allowed"),
        (("target", "size"), -1, "non-negative"),
        (("target", "unpackedSize"), 512, "makes more than the tar"),
        (("target", "unpackedSize"), 1 << 20, "cut off"),
        (("target", "unpackedSize"), True, "non-negative"),
        (("target", "unpackedSize"), 1 << 60, "allowed"),
        (("target", "mediaType"), "text/plain", "makes no layer"),
        (("target",), [], "is not an object"),
        (("compression", "kind"), "brotli", "unknown compression"),
        (("compression", "level"), 99, "no level 99"),
        (("compression", "library"), "zstd \x1b[2J", "strange way"),
        (("compression", "library"), "zstd" * 100, "strange way"),
        (("bases", 0, "unpackedSize"), 1, "outside|unpacks to"),
        (("bases", 0, "diffID"), "sha256:" + "0" * 64, "something that it is not"),
        (("bases", 0), 1, "not a list of objects"),
        (("bases",), [], "outside of its base"),
    ],
)
def test_a_header_that_lies(case: Case, path: tuple[Any, ...], value: Any, match: str) -> None:
    header, table, rest = parts(case.patch)
    place: Any = header
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    case.refuse(put(header, table, rest), match)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({}, "without operations"),
        ({"operations": [], "references": []}, "without operations"),
        ({"operations": {}, "references": []}, "without operations"),
        ({"operations": [0], "references": []}, "malformed"),
        ({"operations": [True], "references": []}, "malformed"),
        ({"operations": [-5], "references": []}, "malformed"),
        ({"operations": [1.5], "references": []}, "malformed"),
        ({"operations": ["a"], "references": []}, "malformed"),
        ({"operations": [[0, 0]], "references": []}, "malformed"),
        ({"operations": [[0, 0, "a"]], "references": []}, "malformed"),
        ({"operations": [[0, 0, 0]], "references": []}, "outside"),
        ({"operations": [[0, -1, 5]], "references": []}, "malformed"),
        ({"operations": [[1, 0, 5]], "references": []}, "outside"),
        ({"operations": [[0, 0, 1 << 40]], "references": []}, "outside"),
        ({"operations": [[0, 1 << 40, 1]], "references": []}, "outside"),
        ({"operations": [1], "references": [[0, 0, 1 << 40]]}, "outside"),
        ({"operations": [1], "references": [[0, 0, 10_000]] * 10_000}, "too large"),
        ({"operations": [MAX_NEW + 1], "references": []}, "too large"),
        ({"operations": [[0, 0, 10_000]] * 10_000, "references": []}, "more than the tar"),
    ],
)
def test_a_plan_that_lies(case: Case, table: dict[str, Any], match: str) -> None:
    header, _, rest = parts(case.patch)
    case.refuse(put(header, table, rest), match)


def test_bombs(case: Case) -> None:
    header, table, _ = parts(case.patch)
    bomb = zstandard.ZstdCompressor().compress(bytes(MAX_NEW * 2))
    case.refuse(put(header, table, bomb), "more than the [0-9]+ bytes allowed")
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MAX_NEW))
    case.refuse(put(header, table, unsized), "more than the [0-9]+ bytes allowed")
    case.refuse(put(header, {"operations": [1], "references": [], "x": "y" * (5 << 20)}, b""))


def test_lengths_that_lie(case: Case) -> None:
    header, table, rest = parts(case.patch)
    whole = put(header, table, rest)
    at = len(MAGIC)
    case.refuse(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :], "header of 4294967295")
    case.refuse(whole + b"x", "data after its end")
    body = header | {"body": 1}
    text = json.dumps(body).encode()
    (length,) = struct.unpack("<I", whole[at : at + 4])
    lying = MAGIC + struct.pack("<I", len(text)) + text + whole[at + 4 + length :]
    case.refuse(lying, "has not the")


def test_what_is_no_patch(case: Case) -> None:
    for data in (b"", b"x" * 100, MAGIC, MAGIC + b"\2\0\0\0[]", MAGIC + b"\2\0\0\0{}"):
        case.refuse(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_refused(case: Case, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(case.patch) - 1))
    if data.draw(st.booleans()):
        damaged = case.patch[:at]
    else:
        flipped = case.patch[at] ^ data.draw(st.integers(1, 255))
        damaged = case.patch[:at] + bytes([flipped]) + case.patch[at + 1 :]
    try:
        found = rebuilt(damaged, [case.old], case.folder)
    except SlimpackError:
        case.nothing_is_left()
    else:
        # Bits that say nothing, such as those that zstd reserves.
        assert found == case.new
        (case.folder / "blobs" / "sha256" / found.digest[7:]).unlink()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", MAGIC):
        with pytest.raises(ImageError):
            read_info(io.BytesIO(start + data))
