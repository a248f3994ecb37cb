"""Layers are made once, and their bytes again when they are gone or damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import Memo
from slimpack.cache.record import LayerRecord, record_of
from slimpack.errors import ImageError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.layer import Layer
from tests.cache.plans import Maker, ask, content, layers_in


def test_a_layer_is_made_once(tmp_path: Path) -> None:
    maker = Maker("numpy")
    first = layers_in(tmp_path / "c")
    made = ask(first, maker)
    second = layers_in(tmp_path / "c")
    known = second.layer_for(maker.key, "another name", maker)
    assert maker.calls == 1
    assert known == made
    assert known.name == "another name"
    assert known.unpacked_size == made.unpacked_size
    assert content(known) == content(made) == content(Maker("numpy")(BlobStore(tmp_path / "x")))
    assert (first.made, second.made) == ({maker.key}, set())
    assert first.written == made.size
    assert second.written == 0
    assert maker.calls == 1


def test_a_hit_reads_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    path = Cache(tmp_path / "c").blobs / "sha256" / made.digest[7:]
    opened: list[str] = []
    whole: Any = Path.open

    def watched(self: Path, *arguments: object) -> object:
        opened.append(self.name)
        return whole(self, *arguments)

    monkeypatch.setattr(Path, "open", watched)
    layer = ask(layers_in(tmp_path / "c"), maker)
    assert path.name not in opened
    content(layer)
    assert path.name in opened


def test_a_layer_without_a_key_is_made_each_time(tmp_path: Path) -> None:
    maker = Maker("numpy")
    cache = layers_in(tmp_path / "c")
    for _ in range(2):
        content(cache.layer_for(None, "numpy", maker))
    assert maker.calls == 2
    assert not (tmp_path / "c").exists()


def test_bytes_that_are_gone_are_made_again_when_they_are_read(tmp_path: Path) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    wanted = content(made)
    later = layers_in(tmp_path / "c")
    later.blobs.path(made.digest).unlink()
    layer = ask(later, maker)
    assert not later.has(record_of(layer))
    assert maker.calls == 1
    assert content(layer) == wanted
    assert maker.calls == 2
    assert content(layer) == wanted
    assert maker.calls == 2
    # The same for one that was just made, and that another build has pruned.
    later.blobs.path(made.digest).unlink()
    assert content(made) == wanted


def test_bytes_that_are_pruned_as_fast_as_they_are_made(tmp_path: Path) -> None:
    maker = Maker("numpy")
    cache = layers_in(tmp_path / "c")

    def pruned(blobs: BlobStore) -> Layer:
        layer = maker(blobs)
        if blobs is cache.blobs:
            blobs.path(layer.digest).unlink()
        return layer

    layer = cache.layer_for(maker.key, "numpy", pruned)
    content(layer)
    content(layer)
    assert maker.calls == 3
    assert not cache.has(record_of(layer))


def test_many_readers_make_missing_bytes_once(tmp_path: Path) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    later = layers_in(tmp_path / "c")
    later.blobs.path(made.digest).unlink()
    layer = ask(later, maker)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: content(layer), range(16)))) == 1
    assert maker.calls == 2


@pytest.mark.parametrize("damage", ["shorter", "longer", "empty"])
def test_a_blob_of_another_size_is_seen_at_once(tmp_path: Path, damage: str) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    later = layers_in(tmp_path / "c")
    path = later.blobs.path(made.digest)
    data = path.read_bytes()
    path.write_bytes({"shorter": data[:-1], "longer": data + b"x", "empty": b""}[damage])
    layer = ask(later, maker)
    assert not path.exists()
    content(layer)
    assert path.read_bytes() == data


@pytest.mark.parametrize("place", [5, -1, 200])
def test_a_damaged_blob_is_refused_then_made_again(tmp_path: Path, place: int) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    wanted = content(made)
    later = layers_in(tmp_path / "c")
    path = later.blobs.path(made.digest)
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)
    layer = ask(later, maker)
    with pytest.raises(ImageError):
        content(layer)
    assert later.healing(lambda: content(layer)) == wanted
    assert maker.calls == 2
    (note,) = later.notes.texts
    assert made.digest in note


def test_an_error_that_no_blob_is_at_fault_for_is_raised(tmp_path: Path) -> None:
    maker = Maker("numpy")
    cache = layers_in(tmp_path / "c")
    ask(cache, maker)
    calls = []

    def work() -> None:
        calls.append(1)
        raise SlimpackError("the output cannot be written")

    with pytest.raises(SlimpackError, match="the output"):
        cache.healing(work)
    assert len(calls) == 1
    assert cache.notes.texts == ()


def test_a_layer_that_comes_out_different_is_refused_and_forgotten(tmp_path: Path) -> None:
    maker, other = Maker("numpy"), Maker("scipy")
    made = ask(layers_in(tmp_path / "c"), maker)
    later = layers_in(tmp_path / "c")
    later.blobs.path(made.digest).unlink()
    layer = later.layer_for(maker.key, "numpy", other)
    with pytest.raises(ImageError, match="layer numpy was made again and came out different"):
        layer.open()
    # The next build makes it anew.
    again = layers_in(tmp_path / "c")
    assert ask(again, maker) == made
    assert again.made == {maker.key}


def test_another_compressor_says_so(tmp_path: Path) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    later = layers_in(tmp_path / "c")
    later.blobs.path(made.digest).unlink()
    wrong = replace(record_of(made), digest=f"sha256:{'0' * 64}")
    Memo(tmp_path / "c" / "records").put("layer", maker.key, wrong.json)
    with pytest.raises(ImageError, match="was compressed again"):
        ask(later, maker).open()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"digest": "x"}'])
def test_a_record_that_cannot_be_is_forgotten(tmp_path: Path, data: bytes) -> None:
    maker = Maker("numpy")
    Memo(tmp_path / "c" / "records").put("layer", maker.key, data)
    cache = layers_in(tmp_path / "c")
    content(ask(cache, maker))
    assert maker.calls == 1
    assert layers_in(tmp_path / "c").get(maker.key) is not None


def test_an_error_of_the_maker_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    cache = layers_in(tmp_path / "c")

    def fails(blobs: BlobStore) -> Layer:
        with blobs.create() as sink:
            sink.write(b"half")
            raise ImageError("a.txt ended early")

    with pytest.raises(ImageError, match="ended early"):
        cache.layer_for(Maker("numpy").key, "numpy", fails)
    assert [path for path in (tmp_path / "c").rglob("*") if path.is_file()] == []
    assert cache.notes.texts == ()


def test_a_use_of_a_blob_is_noted(tmp_path: Path) -> None:
    maker = Maker("numpy")
    made = ask(layers_in(tmp_path / "c"), maker)
    later = layers_in(tmp_path / "c")
    path = later.blobs.path(made.digest)
    os.utime(path, (1000, 1000))
    ask(later, maker)
    assert path.stat().st_mtime > 1_000_000


class _Far:
    """Layers in another place, which may have lost the bytes."""

    def __init__(self, maker: Maker, folder: Path, *, bytes_too: bool) -> None:
        self.store = BlobStore(folder)
        self.record = record_of(maker(self.store))
        self.key = maker.key
        self.bytes_too = bytes_too
        self.fetched = 0
        self.found: list[str] = []

    def find(self, keys: Iterable[str]) -> None:
        self.found += keys

    def get(self, key: str) -> LayerRecord | None:
        return self.record if key == self.key else None

    def fetch(self, key: str, record: LayerRecord, blobs: BlobStore) -> bool:
        assert (key, record) == (self.key, self.record)
        self.fetched += 1
        if self.bytes_too:
            blobs.add(self.store.path(record.digest).read_bytes())
        return self.bytes_too


@pytest.mark.parametrize("bytes_too", [True, False])
def test_another_place_knows_a_layer(tmp_path: Path, bytes_too: bool) -> None:
    far = _Far(Maker("numpy"), tmp_path / "far", bytes_too=bytes_too)
    maker, unknown = Maker("numpy"), Maker("scipy")
    cache = LayerCache(Cache(tmp_path / "c"), BlobStore(tmp_path / "s"), far=far)
    cache.find([maker.key, unknown.key])
    layer = ask(cache, maker)
    ask(cache, unknown)
    assert (maker.calls, unknown.calls) == (0, 1)
    assert far.fetched == 0
    content(layer)
    content(layer)
    assert far.fetched == 1
    assert maker.calls == (0 if bytes_too else 1)
    assert cache.written > layer.size
    # What was learnt stays here.
    assert layers_in(tmp_path / "c").get(maker.key) == far.record
    cache.find([maker.key, unknown.key])
    assert far.found == [maker.key, unknown.key]
