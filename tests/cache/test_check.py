"""`slimpack cache verify` finds every damage, and removes it."""

from __future__ import annotations

from pathlib import Path

from slimpack.cache import Cache
from slimpack.cache.check import check
from slimpack.cache.memo import Memo
from tests.cache.plans import Maker, ask, layers_in

KEY = "ab" * 32


def test_all_is_well(tmp_path: Path) -> None:
    layers = layers_in(tmp_path)
    made = ask(layers, Maker("numpy"))
    memo = Memo(tmp_path / "memos")
    memo.put("tree", KEY, b"data")
    (layers.blobs.directory / "sha256" / ".new.11.tmp").write_bytes(b"being written")
    (layers.blobs.directory / "partial").mkdir()
    (layers.blobs.directory / "partial" / ("0" * 64)).write_bytes(b"being downloaded")
    deb = tmp_path / "debian" / "sha256" / made.digest[7:]
    deb.parent.mkdir(parents=True)
    deb.write_bytes(layers.blobs.path(made.digest).read_bytes())
    checked = check(Cache(tmp_path))
    assert checked.number == 4
    assert checked.size > made.size
    assert checked.wrong == checked.stuck == ()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 6


def test_every_kind_of_damage_is_found(tmp_path: Path) -> None:
    layers = layers_in(tmp_path)
    made = [ask(layers, Maker(name)) for name in ("a", "b", "c")]
    blobs = [layers.blobs.path(one.digest) for one in made]
    memo = Memo(tmp_path / "memos")
    for kind in ("tree", "plan", "note"):
        memo.put(kind, KEY, b"data")
    records = Memo(tmp_path / "records")
    records.put("layer", KEY, b"{}")

    changed = bytearray(blobs[0].read_bytes())
    changed[20] ^= 1
    blobs[0].write_bytes(changed)
    blobs[1].write_bytes(blobs[1].read_bytes()[:-1])
    (blobs[2].parent / "README").write_text("no blob")
    memo.path("tree", KEY).write_bytes(b"")
    memo.path("plan", KEY).write_bytes(memo.path("note", KEY).read_bytes())
    stray = tmp_path / "memos" / "stray"
    stray.write_bytes(b"")
    deb = tmp_path / "debian" / "sha256" / ("0" * 64)
    deb.parent.mkdir(parents=True)
    deb.write_bytes(b"damaged")

    wrong = {item.path for item in check(Cache(tmp_path)).wrong}
    assert wrong == {
        blobs[0],
        blobs[1],
        blobs[2].parent / "README",
        memo.path("tree", KEY),
        memo.path("plan", KEY),
        stray,
        deb,
        records.path("layer", KEY),
    }
    assert not any(path.exists() for path in wrong)
    assert check(Cache(tmp_path)).wrong == ()
    assert memo.get("note", KEY) == b"data"


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "sha256" / ("0" * 64)
    blob.mkdir(parents=True)  # a folder has no place there
    (blob / "file").write_bytes(b"x")
    checked = check(Cache(tmp_path))
    assert [item.path.name for item in checked.wrong] == ["file"]
    assert checked.stuck == ()
    assert not (blob / "file").exists()
