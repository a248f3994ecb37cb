"""Packages of bundles brought to a folder: what is there stays, what lies is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from slimpack.bundle.channel import channel_extras, repodata
from slimpack.bundle.contents import Extra, Part
from slimpack.bundle.packages import BundledLock, package_extras
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.to_channel import apply_channel, plan_channel
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.packages import PackageFile, fetch_packages
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import BundleError, InputError
from tests.bundle.near import served, write_extras
from tests.support.channel import GLIBC, MiniChannel, Run


def bundle_of(
    mini: MiniChannel, engine: RattlerEngine, tmp_path: Path, name: str, *specs: str
) -> Path:
    """A bundle of what specs come to, with its lock."""
    lock = engine.solve(mini.spec(*specs), "linux-64", GLIBC)
    packages = package_extras([BundledLock(name, (lock,))], tmp_path / f"fetched-{name}")
    text = Extra(Part.of(f"locks/{name}.pixi.lock", lock.text.encode()), "lock")
    return write_extras(tmp_path / f"{name}.tar", text, *packages.extras)


def solved(folder: Path, engine: RattlerEngine, *specs: str) -> set[str]:
    found = engine.solve(EnvSpec("t", (folder.as_uri(),), specs), "linux-64", GLIBC)
    return {package.dist for package in found.packages}


@pytest.fixture
def engine(tmp_path: Path) -> RattlerEngine:
    return RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")


def test_bundles_come_together_in_one_channel(
    mini: MiniChannel, engine: RattlerEngine, run: Run, tmp_path: Path
) -> None:
    mini.add("one", {"share/one": "1"}, version="1.0")
    mini.add("two", {"share/two": "2"}, version="1.0", depends=["one"])
    first = bundle_of(mini, engine, tmp_path, "first", "one")
    second = bundle_of(mini, engine, tmp_path, "second", "two")
    far = tmp_path / "far"
    shown = run("bundle", "apply", first, "--to", f"channel={far}", "--dry-run", cwd=tmp_path)
    assert "nothing was written" in shown.stdout
    assert not far.exists()
    run("bundle", "apply", first, "--to", f"channel={far}", cwd=tmp_path)
    assert solved(far, engine, "one") == {"one-1.0-0"}
    for index in far.rglob("repodata.json"):
        index.with_name("repodata.json.zst").write_bytes(zstandard.compress(b"{}"))
    done = run("bundle", "apply", second, "--to", f"channel={far}", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert solved(far, engine, "two") == {"one-1.0-0", "two-1.0-0"}
    for index in result["indexes"]:
        packed = far / f"{index}.zst"
        if packed.exists():
            assert zstandard.decompress(packed.read_bytes()) == (far / index).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in far.rglob("*") if path.is_file()}
    again = json.loads(
        run("bundle", "apply", second, "--to", f"channel={far}", "--json", cwd=tmp_path).stdout
    )
    assert (again["files"], again["indexes"], again["sent"]) == ([], [], 0)
    assert before == {path: path.stat().st_mtime_ns for path in far.rglob("*") if path.is_file()}


def test_an_interrupted_run_goes_on(
    mini: MiniChannel, engine: RattlerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini.add("one", {"share/one": "1"})
    mini.add("two", {"share/two": "2"}, depends=["one"])
    bundle = open_bundle(bundle_of(mini, engine, tmp_path, "site", "two"))
    far = tmp_path / "far"
    planned = plan_channel(bundle, far)
    (path, file), *rest = planned.missing
    whole = bundle.read(file.path, 1 << 20)
    (far / path).parent.mkdir(parents=True)
    (far / path).write_bytes(whole)
    later = far / rest[0][0]
    later.parent.mkdir(parents=True, exist_ok=True)
    left = later.with_name(f".{later.name}.0123456789abcdef.tmp")
    left.write_bytes(b"half")
    other = later.with_name(".somebody.0123456789abcdef.tmp")
    other.write_bytes(b"of another")
    planned = plan_channel(bundle, far)
    assert planned.missing == tuple(rest)
    apply_channel(bundle, planned)
    assert not left.exists()
    assert other.exists()
    assert solved(far, engine, "two") == {"one-1.0-0", "two-1.0-0"}


def test_other_bytes_under_one_name_are_refused(
    mini: MiniChannel, engine: RattlerEngine, run: Run, tmp_path: Path
) -> None:
    made = mini.add("one", {"share/one": "1"})
    bundle = bundle_of(mini, engine, tmp_path, "site", "one")
    far = tmp_path / "far"
    place = far / made.parent.name / made.name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"another")
    done = run("bundle", "apply", bundle, "--to", f"channel={far}", cwd=tmp_path, code=14)
    assert "other packages under the same names" in done.stderr
    assert [path for path in far.rglob("*") if path.is_file()] == [place]
    # The index alone tells it, too.
    place.unlink()
    record = {"name": "one", "sha256": "0" * 64}
    (place.parent / "repodata.json").write_bytes(repodata("noarch", {made.name: record}))
    with pytest.raises(BundleError, match="under the same names"):
        plan_channel(open_bundle(bundle), far)
    (place.parent / "repodata.json").write_text("{")
    with pytest.raises(InputError, match="not the index of a channel"):
        plan_channel(open_bundle(bundle), far)


@pytest.mark.parametrize(
    "extras",
    [
        [Extra(Part.of("locks/x/y.lock", b""), "lock")],
        [Extra(Part.of("noarch/x.conda", b""), "lock")],
        [Extra(Part.of("channel/noarch/.hidden.conda", b""), "channel")],
        [Extra(Part.of("channel/noarch/repodata.json.zst", b""), "channel")],
        [Extra(Part.of("channel/a/b/noarch/x.conda", b""), "channel")],
        [
            Extra(
                Part.of(
                    "channel/noarch/repodata.json", repodata("noarch", {"x.conda": {"sha256": "0"}})
                ),
                "channel",
            )
        ],
        [
            Extra(
                Part.of(
                    "channel/noarch/repodata.json",
                    repodata("noarch", {"../../x.conda": {"sha256": "0"}}),
                ),
                "channel",
            )
        ],
    ],
)
def test_a_bundle_that_somebody_else_made(tmp_path: Path, extras: Sequence[Extra]) -> None:
    wheel = Extra(Part.of("wheelhouse/a-1-py3-none-any.whl", b""), "wheelhouse")
    bundle = open_bundle(write_extras(tmp_path / "x.tar", wheel, *extras))
    with pytest.raises(BundleError, match=r"does not hold|no place") as error:
        plan_channel(bundle, tmp_path / "far")
    assert "do not use it" in error.value.hint


def test_a_bundle_without_packages(tmp_path: Path) -> None:
    bundle = write_extras(tmp_path / "x.tar", Extra(Part.of("locks/x.lock", b""), "lock"))
    with pytest.raises(InputError, match="holds no packages"):
        plan_channel(open_bundle(bundle), tmp_path / "far")


def package(folder: Path, channel: str, data: bytes) -> PackageFile:
    path = folder / f"{channel.rpartition('/')[2]}-{len(data)}"
    path.write_bytes(data)
    part = Part.of("", data)
    digest = part.digest.partition(":")[2]
    record = {"name": "x", "sha256": digest}
    return PackageFile(channel, "noarch", "x-1-0.conda", path, len(data), digest, record)


def test_one_name_with_other_bytes_of_two_channels(tmp_path: Path) -> None:
    one, two, three = (
        package(tmp_path, "https://a.example/one", b"1"),
        package(tmp_path, "https://a.example/two", b"22"),
        package(tmp_path, "https://a.example/two", b"333"),
    )
    extras = channel_extras([one, two, one])
    paths = [extra.part.path for extra in extras]
    own = next(path.split("/")[1] for path in paths if path.split("/")[1].startswith("two-"))
    assert paths == [
        "channel/noarch/repodata.json",
        "channel/noarch/x-1-0.conda",
        f"channel/{own}/noarch/repodata.json",
        f"channel/{own}/noarch/x-1-0.conda",
    ]
    assert plan_channel(open_bundle(write_extras(tmp_path / "x.tar", *extras)), tmp_path / "far")
    with pytest.raises(BundleError, match="two packages noarch/x-1-0"):
        channel_extras([one, two, three])


def test_a_package_is_fetched_and_verified(
    mini: MiniChannel, engine: RattlerEngine, tmp_path: Path
) -> None:
    made = mini.add("one", {"share/one": "1"})
    assert mini.url
    with served(mini.folder) as url:
        lock = engine.solve(EnvSpec("t", (url,), ("one",)), "linux-64", GLIBC)
        (tmp_path / "to").mkdir()
        (found,) = fetch_packages(lock, tmp_path / "to")
        assert (found.channel, found.name) == (url, made.name)
        assert found.path.read_bytes() == made.read_bytes()
        assert not {"url", "channel", "fn"} & set(found.record)
        (cached,) = fetch_packages(lock, tmp_path / "none", caches=[made.parent])
        assert cached.path == made
        made.write_bytes(made.read_bytes() + b"x")
        (tmp_path / "bad").mkdir()
        with pytest.raises(Exception, match="cannot be had") as error:
            fetch_packages(lock, tmp_path / "bad", caches=[made.parent])
        assert "the lock says something else" in str(getattr(error.value, "details", ""))
