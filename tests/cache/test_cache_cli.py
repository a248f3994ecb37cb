"""slimpack cache info, prune and verify, as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.cache.memo import Memo
from tests.cache.plans import Maker, ask, layers_in
from tests.support.command import Done, call

KEY = "ab" * 32


def slimpack(cache: Path, *arguments: str, **variables: str) -> Done:
    env = {"SLIMPACK_CACHE_DIR": str(cache), "SLIMPACK_CACHE_SIZE": "", **variables}
    return call(("cache", *arguments), cache.parent, env)


def fill(folder: Path) -> int:
    """Fill a cache; return the bytes of its layers."""
    layers = layers_in(folder)
    made = [ask(layers, Maker(name, 4000)) for name in ("a", "b")]
    Memo(folder / "memos").put("tree", KEY, bytes(3000))
    package = folder / "pkgs" / "zlib-1.3-0"
    package.mkdir(parents=True)
    (package / "file").write_bytes(bytes(500))
    return sum(one.size for one in made)


def test_info(tmp_path: Path) -> None:
    size = fill(tmp_path / "c")
    done = slimpack(tmp_path / "c", "info")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == [str(tmp_path / "c")]
    assert lines[3][:2] == ["layers", "2"]
    assert done.stdout.splitlines()[-1].endswith("20000.0 MB")

    data = json.loads(slimpack(tmp_path / "c", "info", "--json").stdout)
    parts = {part["part"]: part for part in data["parts"]}
    assert parts["layers"]["bytes"] == size
    assert parts["layers"]["oldest_use"].endswith("+00:00")
    assert parts["packages"] == {**parts["packages"], "items": 1, "bytes": 500}
    assert parts["debian"] == {"part": "debian", "items": 0, "bytes": 0, "oldest_use": None}
    assert data["bytes"] == sum(part["bytes"] for part in parts.values())
    assert (data["folder"], data["limit"]) == (str(tmp_path / "c"), 20_000_000_000)


@pytest.mark.parametrize("command", ["info", "prune", "verify"])
def test_a_cache_that_is_not_there_is_empty_and_not_made(tmp_path: Path, command: str) -> None:
    done = slimpack(tmp_path / "none", command)
    assert done.returncode == 0
    assert not (tmp_path / "none").exists()


def test_prune_to_a_size(tmp_path: Path) -> None:
    fill(tmp_path / "c")
    done = slimpack(tmp_path / "c", "prune", "--max-size", "4 kB", "--json")
    removed = json.loads(done.stdout)
    assert removed["number"] >= 2
    data = json.loads(slimpack(tmp_path / "c", "info", "--json").stdout)
    parts = {part["part"]: part["bytes"] for part in data["parts"]}
    assert parts["layers"] + parts["results"] + parts["records"] <= 4000
    assert parts["records"]
    assert parts["packages"] == 500
    assert "removed 0 items" in slimpack(tmp_path / "c", "prune", "--max-size", "4 kB").stdout


def test_prune_to_the_limit_of_builds(tmp_path: Path) -> None:
    fill(tmp_path / "c")
    assert "removed 0 items" in slimpack(tmp_path / "c", "prune").stdout
    done = slimpack(tmp_path / "c", "prune", SLIMPACK_CACHE_SIZE="0 B")
    assert "removed 5 items" in done.stdout
    assert (tmp_path / "c" / "pkgs" / "zlib-1.3-0").exists()


@pytest.mark.parametrize("flags", [("--all",), ("--older-than", "0m")])
def test_prune_everything(tmp_path: Path, flags: tuple[str, ...]) -> None:
    fill(tmp_path / "c")
    done = slimpack(tmp_path / "c", "prune", *flags)
    assert done.returncode == 0
    assert "removed 6 items" in done.stdout
    assert [path for path in (tmp_path / "c").rglob("*") if path.is_file()] == []


def test_prune_beside_a_build(tmp_path: Path) -> None:
    fill(tmp_path / "c")
    with layers_in(tmp_path / "c")._cache.scratch():
        done = slimpack(tmp_path / "c", "prune", "--all")
    assert "removed 5 items" in done.stdout
    assert "1 fetched packages and indexes stay: a build is running" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", "--max-size", "5"), "'5' has no unit"),
        (("prune", "--max-size", "5 gb"), "did you mean 'GB'?"),
        (("prune", "--older-than", "7x"), "expected a time such as 30m, 12h, 7d or 4w"),
        (("prune", "--all", "--older-than", "7d"), "--all leaves nothing for"),
        (("prune", "--all", "--max-size", "5 GB"), "--all leaves nothing for"),
    ],
)
def test_flags_that_make_no_sense(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = slimpack(tmp_path / "c", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_limit_that_is_none(tmp_path: Path) -> None:
    done = slimpack(tmp_path / "c", "info", SLIMPACK_CACHE_SIZE="much")
    assert done.returncode == 2
    assert done.stderr.startswith("error: SLIMPACK_CACHE_SIZE: expected a size")


def test_verify(tmp_path: Path) -> None:
    fill(tmp_path / "c")
    done = slimpack(tmp_path / "c", "verify")
    assert done.returncode == 0
    assert done.stdout.startswith("5 items")
    assert slimpack(tmp_path / "c", "verify", "-q").stdout == ""

    result = Memo(tmp_path / "c" / "memos").path("tree", KEY)
    result.write_bytes(b"damaged")
    done = slimpack(tmp_path / "c", "verify")
    assert done.returncode == 7
    assert "held 1 damaged file\n" in done.stderr
    assert str(result.relative_to(tmp_path / "c")) in done.stderr
    assert slimpack(tmp_path / "c", "verify").returncode == 0

    result.write_bytes(b"damaged")
    done = slimpack(tmp_path / "c", "verify", "--json")
    assert done.returncode == 7
    data = json.loads(done.stdout)
    assert data["damaged"] == [str(result.relative_to(tmp_path / "c"))]
    assert data["not_removed"] == []


def test_one_bad_layer_among_many_is_named_and_the_list_is_short(tmp_path: Path) -> None:
    folder = tmp_path / "c" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number:064x}").write_bytes(b"wrong")
    done = slimpack(tmp_path / "c", "verify")
    assert "held 30 damaged files" in done.stderr
    assert "and 10 more" in done.stderr
    assert len(done.stderr.splitlines()) < 30
