"""The caches of a build together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from slimpack.cache import Cache
from slimpack.cache.building import BuildCaches, open_caches
from slimpack.cache.check import check
from slimpack.cache.contents import kept
from slimpack.cache.layers import LayerCache
from slimpack.cache.limits import trim
from slimpack.cache.memo import Memo
from slimpack.oci.blobs import BlobStore
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference
from tests.cache.plans import Maker, ask, content
from tests.support.channel import ROOT

KEY = "ab" * 32


def opened(folder: Path) -> BuildCaches:
    return open_caches(Cache(folder / "c"), BlobStore(folder / "spare"))


def test_only_a_build_that_added_something_trims(tmp_path: Path) -> None:
    maker = Maker("numpy")
    caches = opened(tmp_path)
    layer = ask(caches.layers, maker)
    caches.memos.put("plan", KEY, b"data")
    later = opened(tmp_path)
    ask(later.layers, maker)
    later.memos.get("plan", KEY)
    later.trim(0)
    assert len(list(kept(Cache(tmp_path / "c")))) == 3
    # The order of a build: what it delivers it has opened or can make again.
    with layer.open() as stream:
        caches.trim(0)
        assert not list(kept(Cache(tmp_path / "c")))
        assert len(stream.read()) == layer.size
    content(layer)


def test_a_cache_below_its_limit_stays_as_it_is(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    ask(caches.layers, Maker("numpy"))
    left = tmp_path / "c" / "blobs" / "sha256" / ".new.00.tmp"
    left.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    caches.trim(1 << 40)
    assert len(list(kept(Cache(tmp_path / "c")))) == 2
    assert not left.exists()


def test_a_little_more_is_looked_at_once_in_an_hour(tmp_path: Path) -> None:
    stamp = tmp_path / "c" / "trimmed"
    first = opened(tmp_path)
    size = ask(first.layers, Maker("numpy")).size
    first.trim(size * 50)  # a fiftieth
    assert stamp.exists()

    def left_after(name: str, limit: int) -> list[Path]:
        caches = opened(tmp_path)
        ask(caches.layers, Maker(name))
        old = tmp_path / "c" / "blobs" / "sha256" / ".new.00.tmp"
        old.write_bytes(b"half")
        os.utime(old, (1000, 1000))
        caches.trim(limit)
        return list(old.parent.glob(".*"))

    assert left_after("scipy", size * 1000)
    assert not left_after("pandas", size * 50)
    os.utime(stamp, (1000, 1000))
    assert not left_after("torch", size * 1000)


def test_a_build_without_a_registry_imports_no_client() -> None:
    program = "import sys, slimpack.cache.building; sys.exit('urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_without_registries_nothing_is_far(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    ask(caches.layers, Maker("numpy"))
    assert caches.share() == 0
    assert caches.mount_from == ()
    assert caches.notes.texts == ()


def test_what_lies_apart_counts_and_goes_as_the_rest(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    layers = LayerCache(cache.with_help_of("b/c", "a"), BlobStore(tmp_path / "spare"))
    ask(layers, Maker("numpy"))
    Memo(cache.with_help_of("a", "b/c").memos).put("plan", KEY, b"data")
    assert {item.part for item in kept(cache)} == {"layers", "records", "results"}
    assert Memo(cache.memos).get("plan", KEY) is None
    assert Memo(cache.with_help_of("a").memos).get("plan", KEY) is None
    assert check(cache).number == 3
    assert not check(cache).wrong
    assert trim(cache, 0).number == 3


def test_one_repository_is_one_cache(tmp_path: Path) -> None:
    place = Reference("127.0.0.1:1", "cache")
    with Registries() as registries:
        caches = open_caches(
            Cache(tmp_path / "c"),
            BlobStore(tmp_path / "spare"),
            sources=[place, place],
            to=place,
            registries=registries,
        )
    assert caches.sources == (caches.to,)
    assert caches.mount_from == (place,)
