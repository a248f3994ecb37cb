"""Manifests of a cache in a registry, as written and as anybody may have written them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.cache.artifacts import (
    MAX_MEMO,
    MemoBlob,
    layer_manifest,
    layer_tag,
    memo_manifest,
    memo_tag,
    read_layer_manifest,
    read_memo_manifest,
)
from slimpack.errors import ImageError
from slimpack.oci.digest import sha256
from slimpack.oci.parse import MAX_MANIFEST
from tests.cache.test_record import RECORD

KEY = "ab" * 32
LAYER = layer_manifest(KEY, RECORD, "numpy-2.1.0")
BLOB = MemoBlob(sha256(b"x"), 100)
MEMO = memo_manifest("plan", KEY, BLOB)


def test_they_come_back() -> None:
    assert read_layer_manifest(LAYER, KEY, "x") == RECORD
    lazy = replace(RECORD, annotations={"containerd.io/snapshot/stargz/toc.digest": "sha256:1"})
    assert read_layer_manifest(layer_manifest(KEY, lazy, "numpy"), KEY, "x") == lazy != RECORD
    assert read_memo_manifest(MEMO, "plan", KEY, "x") == BLOB


def test_tags_are_tags() -> None:
    tag = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")  # distribution-spec v1.1
    for text in (layer_tag(KEY), memo_tag("plan", KEY), memo_tag("k" * 40, "ab" * 64)):
        assert tag.fullmatch(text)
    assert layer_tag(KEY) != layer_tag("cd" * 32)
    assert memo_tag("plan", KEY) != memo_tag("tree", KEY)


def changed(manifest: bytes, *path: str | int, value: object) -> bytes:
    data: Any = json.loads(manifest)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("annotations", "slimpack.cache.key"), "cd" * 32),
        (("annotations", "slimpack.cache.diff-id"), "sha256:x"),
        (("annotations", "slimpack.cache.unpacked-size"), "-1"),
        (("annotations", "slimpack.cache.unpacked-size"), "9" * 19),
        (("annotations", "slimpack.cache.unpacked-size"), "9" * 5000),
        (("annotations", "slimpack.cache.unpacked-size"), 5),
        (("annotations",), {}),
        (("annotations",), []),
        (("layers", 0, "digest"), "sha256:../x"),
        (("layers", 0, "annotations"), {"a": 1}),
        (("layers", 0, "annotations"), {"a": "b" * 5000}),
        (("layers", 0, "size"), -5),
        (("layers", 0, "size"), 1 << 50),
        (("layers", 0, "mediaType"), "text/html"),
        (("layers",), []),
        (("layers",), [{}, {}]),
        (("artifactType",), "application/vnd.slimpack.cache.memo.v1"),
    ],
)
def test_layers_that_cannot_be_are_refused(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(ImageError, match=r"^cache:"):
        read_layer_manifest(changed(LAYER, *path, value=value), KEY, "cache:")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("annotations", "slimpack.cache.key"), "cd" * 32),
        (("annotations", "slimpack.cache.kind"), "tree"),
        (("layers", 0, "size"), MAX_MEMO + 1),
        (("layers", 0, "mediaType"), "text/html"),
        (("layers", 0, "digest"), 1),
        (("artifactType",), "application/vnd.slimpack.cache.layer.v1"),
    ],
)
def test_memos_that_cannot_be_are_refused(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(ImageError, match=r"^cache:"):
        read_memo_manifest(changed(MEMO, *path, value=value), "plan", KEY, "cache:")


@given(data=st.binary(max_size=100) | st.sampled_from([b"[]", b"{}", b"[" * 100_000, b"null"]))
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_layer_manifest(data, KEY, "cache:")
    with pytest.raises(ImageError):
        read_memo_manifest(data, "plan", KEY, "cache:")


def test_a_name_of_any_length_fits_a_manifest() -> None:
    assert len(layer_manifest(KEY, RECORD, "a" * 100)) < 2000 < MAX_MANIFEST
