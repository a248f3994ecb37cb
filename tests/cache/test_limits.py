"""What was not used for the longest time goes first."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from slimpack.cache import Cache
from slimpack.cache.contents import fetched, kept
from slimpack.cache.layers import LayerCache
from slimpack.cache.limits import (
    DAY,
    Removed,
    parse_age,
    size_limit,
    totals,
    trim,
    trim_fetched,
)
from slimpack.cache.memo import Memo
from slimpack.cache.record import record_of
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.layer import Layer
from tests.cache.plans import Maker, ask, content, layers_in

KEYS = ["ab" * 32, "cd" * 32, "ef" * 32]


def age(path: Path, days: float) -> None:
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))


def filled(folder: Path) -> tuple[Cache, LayerCache, list[Layer], Memo]:
    """Return a cache of three layers, used 3, 1 and 2 days ago, and a result from 1.5 days ago."""
    cache, layers, memo = Cache(folder), layers_in(folder), Memo(folder / "memos")
    made = [ask(layers, Maker(name, 4000)) for name in ("a", "b", "c")]
    for layer, days in zip(made, (3, 1, 2), strict=True):
        age(layers.blobs.path(layer.digest), days)
    memo.put("tree", KEYS[0], bytes(3000))
    age(memo.path("tree", KEYS[0]), 1.5)
    return cache, layers, made, memo


def there(layers: LayerCache, made: list[Layer]) -> str:
    """Return the names of the layers whose bytes are there."""
    return "".join(one.name for one in made if layers.blobs.path(one.digest).exists())


def size(cache: Cache) -> int:
    return sum(item.size for item in kept(cache))


def test_eviction_order(tmp_path: Path) -> None:
    cache, layers, made, memo = filled(tmp_path / "c")
    result = memo.path("tree", KEYS[0])
    assert trim(cache, size(cache)) == Removed()
    expected = [("bc", True), ("b", True), ("b", False), ("", False)]
    for names, has_result in expected:
        before = size(cache)
        removed = trim(cache, before - 1)
        assert removed.number == 1
        assert size(cache) == before - removed.size
        assert (there(layers, made), result.exists()) == (names, has_result)
    # Records outlive the bytes, and go in the end.
    assert all(layers.get(key) for key in layers.used)
    assert trim(cache, 0).number == 3
    assert size(cache) == 0


def test_a_use_saves_a_layer(tmp_path: Path) -> None:
    cache, layers, made, _ = filled(tmp_path / "c")
    assert layers.has(record_of(made[0]))
    trim(cache, size(cache) - 1)
    assert there(layers, made) == "ab"


def test_what_was_pruned_is_known_and_made_again(tmp_path: Path) -> None:
    cache, _, made, _ = filled(tmp_path / "c")
    wanted = content(made[0])
    trim(cache, 4 * 400)
    later = layers_in(tmp_path / "c")
    maker = Maker("a", 4000)
    layer = ask(later, maker)
    assert maker.calls == 0
    assert content(layer) == wanted
    assert maker.calls == 1


def test_age_goes_before_size(tmp_path: Path) -> None:
    cache, layers, made, memo = filled(tmp_path / "c")
    trim(cache, 1 << 40, unused=1.7 * DAY)
    assert there(layers, made) == "b"
    assert memo.get("tree", KEYS[0])
    assert len([item for item in kept(cache) if item.part == "records"]) == 3


def test_an_open_layer_is_read_to_its_end(tmp_path: Path) -> None:
    cache, _, made, _ = filled(tmp_path / "c")
    with made[0].open() as stream:
        head = stream.read(10)
        trim(cache, 0)
        assert len(head + stream.read()) == made[0].size


def test_left_files_go_after_an_hour_and_those_under_a_lock_stay(tmp_path: Path) -> None:
    cache, layers, _, memo = filled(tmp_path / "c")
    folder = layers.blobs.directory
    (folder / "partial").mkdir()
    old = folder / "sha256" / ".new.0011.tmp"
    new = folder / "sha256" / ".new.2233.tmp"
    result = memo.path("tree", KEYS[0]).with_name(".x.44.tmp")
    part, locked = folder / "partial" / ("0" * 64), folder / "partial" / ("1" * 64)
    for path, days in ((old, 0.1), (new, 0), (result, 1), (part, 6), (locked, 8)):
        path.write_bytes(b"half")
        age(path, days)
    with locked.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert trim(cache, 1 << 40).number == 2
    assert [path.exists() for path in (old, new, result, part, locked)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert trim(cache, 1 << 40).number == 1
    assert not locked.exists()


def package(cache: Cache, name: str, files: int = 3) -> Path:
    folder = cache.packages / name
    (folder / "lib").mkdir(parents=True)
    for number in range(files):
        (folder / "lib" / f"{number}.txt").write_bytes(bytes(100))
    (cache.packages / f"{name}.lock").write_text("")
    return folder


def test_what_was_fetched_goes_by_its_own_age(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder = package(cache, "zlib-1.3-0")
    of_micromamba = cache.packages / "micromamba"
    inside = of_micromamba / "xz-5-0" / "lib.txt"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(bytes(50))
    (of_micromamba / "xz-5-0.conda").write_bytes(bytes(50))
    index, deb = cache.repodata / "x.json", cache.debian / "sha256" / ("0" * 64)
    for path in (index, deb):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(10))
        age(path, 40)
    found = totals(fetched(cache))
    assert found["packages"][:2] == (3, 400)
    assert trim_fetched(cache, 30 * DAY) == Removed(2, 20)
    assert folder.exists()
    assert trim_fetched(cache, 0.0).number == 3
    assert not folder.exists()
    assert list(of_micromamba.iterdir()) == []
    assert not list(cache.packages.glob("*.lock"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_pythons_that_compile_applications_are_counted_and_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    shared = package(cache, "python-3.11-0") / "lib" / "1.txt"
    python = cache.interpreters / "0123456789abcdef"
    (python / "bin").mkdir(parents=True)
    (python / "bin" / "python").hardlink_to(shared)
    (python / "own.txt").write_bytes(bytes(30))
    assert totals(fetched(cache))["pythons"][:2] == (1, 30)  # a package's file counts there
    assert trim_fetched(cache, 3600.0).number == 0
    assert trim_fetched(cache, 0.0).number == 2
    assert not python.exists()


def test_a_hard_link_is_a_use_of_a_package(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder = package(cache, "zlib-1.3-0")
    for path in folder.rglob("*"):
        age(path, 90)  # as packed; when it came and was used, only ctime tells
    assert trim_fetched(cache, 60.0) == Removed()
    time.sleep(0.02)
    before = time.time()
    (tmp_path / "env").mkdir()
    os.link(folder / "lib" / "0.txt", tmp_path / "env" / "0.txt")
    (item,) = (one for one in fetched(cache) if one.part == "packages")
    assert item.used >= before - 0.01


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder = package(cache, "zlib-1.3-0")
    with cache.scratch() as scratch:
        os.link(folder / "lib" / "0.txt", scratch / "0.txt")
        (scratch / "own").write_bytes(bytes(7))
        found = totals(fetched(cache))
    assert (found["packages"][1], found["scratch"][1]) == (300, 7)


def test_nothing_that_was_fetched_goes_while_a_build_runs(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder = package(cache, "zlib-1.3-0")
    with cache.scratch() as scratch:
        assert trim_fetched(cache, 0.0) == Removed(busy=1)
        assert scratch.is_dir()
    assert folder.exists()
    assert trim_fetched(cache, 0.0).number == 1


def test_a_scratch_folder_of_a_killed_build_is_no_build(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    package(cache, "zlib-1.3-0")
    (tmp_path / "tmp" / "bkilled" / "env").mkdir(parents=True)
    assert trim_fetched(cache, 0.0).number == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_empty_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "none")
    assert trim(cache, 0) == Removed()
    assert list(kept(cache)) == list(fetched(cache)) == []
    assert totals([]) == {}


def test_the_limit_comes_from_the_environment() -> None:
    assert size_limit({}) == 20_000_000_000
    assert size_limit({"SLIMPACK_CACHE_SIZE": ""}) == 20_000_000_000
    assert size_limit({"SLIMPACK_CACHE_SIZE": "1.5 GiB"}) == 3 << 29
    with pytest.raises(InputError, match="SLIMPACK_CACHE_SIZE: '5' has no unit"):
        size_limit({"SLIMPACK_CACHE_SIZE": "5"})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("12h", 43200), ("7d", 604_800), ("1 w", 604_800), ("0d", 0)],
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7x", "7days", "1\n", "9999999d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 30m"):
        parse_age(text)


def test_the_store_of_blobs_is_that_of_pulled_bases(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = BlobStore(cache.blobs).add(b"layer of a base")
    (item,) = kept(cache)
    assert (item.part, item.path.name, item.size) == ("layers", digest[7:], 15)
