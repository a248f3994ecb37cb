"""A cache that cannot be written is told of, and no build fails for it."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slimpack.cache import Cache
from slimpack.cache.building import BuildCaches, open_caches
from slimpack.errors import InputError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.layer import Layer, build_layer
from slimpack.tree import bytes_entry
from tests.cache.plans import FAST, Maker, ask, content, key_of
from tests.oci.oci_images import small_disk

KEY = "ab" * 32


class Large(Maker):
    """Makes a layer that no compression makes smaller."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.entries = [bytes_entry("data", random.Random(name).randbytes(size))]
        self.key = key_of(self.entries)

    def __call__(self, blobs: BlobStore) -> Layer:
        self.calls += 1
        return build_layer(self.name, self.entries, blobs=blobs, mtime=0, compression=FAST)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def opened(cache: Path, spare: Path) -> BuildCaches:
    return open_caches(Cache(cache), BlobStore(spare, durable=False))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with small_disk(tmp_path / "disk") as path:
        yield path


def test_a_layer_that_does_not_fit_is_made_elsewhere(disk: Path, tmp_path: Path) -> None:
    caches = opened(disk / "c", tmp_path / "spare")
    maker = Large("big", 3_000_000)
    layer = ask(caches.layers, maker)
    assert len(content(layer)) > 3_000_000
    (note,) = caches.notes.texts
    assert note == (
        f"the cache {disk / 'c' / 'blobs'} cannot be written (No space left on device): "
        "built without it"
    )
    assert files(disk / "c" / "blobs") == []
    assert maker.calls == 2


def test_layers_of_other_builds_make_room(disk: Path, tmp_path: Path) -> None:
    first = opened(disk / "c", tmp_path / "spare")
    old = ask(first.layers, Large("old", 1_200_000))
    second = opened(disk / "c", tmp_path / "spare")
    small, new = ask(second.layers, Large("small", 300_000)), Large("new", 1_300_000)
    layer = ask(second.layers, new)
    assert {path.name for path in files(disk / "c" / "blobs")} == {
        small.digest[7:],
        layer.digest[7:],
    }
    assert second.notes.texts == ("the disk is full: 1 layers were removed from the cache",)
    # The one that had to go is still known, and made again for whoever needs it.
    assert len(content(old)) > 1_200_000


def test_no_room_anywhere_is_an_error_that_says_so(disk: Path) -> None:
    caches = opened(disk / "c", disk / "spare")
    with pytest.raises(SlimpackError, match="No space left on device") as caught:
        ask(caches.layers, Large("big", 3_000_000))
    assert caught.value.hint == "the disk is full; free some space and run again"
    assert files(disk) == []


def test_results_that_do_not_fit_are_not_kept(disk: Path, tmp_path: Path) -> None:
    caches = opened(disk / "c", tmp_path / "spare")
    caches.memos.put("tree", KEY, random.Random(1).randbytes(3_000_000))
    assert caches.memos.get("tree", KEY) is None
    assert "No space left on device" in caches.notes.texts[0]
    assert files(disk) == []
    caches.trim(0)


def test_a_cache_that_is_full_of_other_things(disk: Path, tmp_path: Path) -> None:
    (disk / "other").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    caches = opened(disk / "c", tmp_path / "spare")
    maker = Maker("numpy")
    content(ask(caches.layers, maker))
    caches.memos.put("tree", KEY, b"data")
    assert any("No space left on device" in note for note in caches.notes.texts)


def test_a_read_only_cache_is_used_and_not_written(disk: Path, tmp_path: Path) -> None:
    known, new = Maker("known"), Maker("new")
    before = opened(disk / "c", tmp_path / "spare")
    ask(before.layers, known)
    before.memos.put("tree", KEY, b"data")
    with read_only(disk):
        caches = opened(disk / "c", tmp_path / "spare")
        content(ask(caches.layers, known))
        assert caches.memos.get("tree", KEY) == b"data"
        assert not any(caches.notes.texts)
        content(ask(caches.layers, new))
        caches.memos.put("tree", "cd" * 32, b"data")
        caches.trim(0)
    assert (known.calls, new.calls) == (1, 2)
    assert [text.split("(")[1] for text in caches.notes.texts] == [
        "Read-only file system): built without it"
    ] * 3


def test_no_build_starts_where_nothing_can_be_written(disk: Path) -> None:
    (disk / "c").mkdir()
    with (
        read_only(disk),
        pytest.raises(InputError, match="cannot be written") as caught,
        Cache(disk / "c").scratch(),
    ):
        raise AssertionError("unreachable")
    assert caught.value.hint == "set SLIMPACK_CACHE_DIR to a folder that can"


@pytest.mark.parametrize("place", ["c", "c/tmp"])
def test_a_file_in_place_of_the_cache_is_named(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with (
        pytest.raises(InputError, match=r"/c/tmp: cannot be written") as caught,
        Cache(tmp_path / "c").scratch(),
    ):
        raise AssertionError("unreachable")
    assert "SLIMPACK_CACHE_DIR" in caught.value.hint


def test_a_damaged_read_only_cache(disk: Path, tmp_path: Path) -> None:
    maker = Maker("numpy")
    before = opened(disk / "c", tmp_path / "spare")
    made = ask(before.layers, maker)
    before.memos.put("tree", KEY, b"data")
    before.memos.path("tree", KEY).write_bytes(b"damaged")
    blob = before.layers.blobs.path(made.digest)
    data = bytearray(blob.read_bytes())
    data[30] ^= 1
    blob.write_bytes(data)
    with read_only(disk):
        caches = opened(disk / "c", tmp_path / "spare")
        assert caches.memos.get("tree", KEY) is None
        layer = ask(caches.layers, maker)
        assert caches.layers.healing(lambda: content(layer)) == content(maker(BlobStore(tmp_path)))
