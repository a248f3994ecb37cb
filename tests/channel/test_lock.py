"""The lock file: complete, free of addresses, and clear about what to do when it is not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from benchmarks.channel import fetch, resolve
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.lock import (
    LOCK_FILE,
    Lock,
    LockedFile,
    load_lock,
    locked_subdirs,
    parse_lock,
    save_lock,
)
from benchmarks.channel.plan import make_plans
from benchmarks.channel.recipes import LINUX_64, LINUX_AARCH64, Channel, Recipe, load_channel
from benchmarks.channel.resolve import read_report_item


def test_every_recipe_is_pinned() -> None:
    channel, lock = load_channel(), load_lock("linux-64")
    plans = make_plans(channel, lock, LINUX_64, full=True)
    assert len(plans) == len(channel.recipes)
    for plan in plans:
        for pin in (*plan.wheels.values(), *plan.debs, *plan.source):
            assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256), pin


def test_other_platforms_have_the_same_versions_and_share_what_runs_anywhere() -> None:
    channel, first = load_channel(), load_lock("linux-64")
    part = channel.on(LINUX_AARCH64)
    plans = make_plans(part, load_lock("linux-aarch64"), LINUX_AARCH64, full=True)
    assert {"python", "numpy", "openssl", "prefix-text"} <= {plan.recipe.name for plan in plans}
    of_first = {p.recipe.package_name: p for p in make_plans(channel, first, LINUX_64, full=False)}
    for plan in plans:
        assert plan.version == of_first[plan.recipe.name].version
        for pin in (*plan.wheels.values(), *plan.debs):
            assert pin.portable or "aarch64" in pin.name or "_arm64" in pin.name, pin
    own = parse_lock(json.loads(LOCK_FILE.read_text()), "linux-aarch64")
    assert not any(pin.portable for pin in (*own.wheels.values(), *own.debs.values()))
    assert not own.sources
    # Nothing of a group and nothing that has to be compiled.
    assert not {plan.recipe.name for plan in plans} & {"pytorch", "cuda-cudart", "prefix-probe"}


def test_the_lock_names_no_host() -> None:
    text = LOCK_FILE.read_text()
    assert "://" not in text
    assert not re.search(r"\b[a-z0-9-]+\.(org|com|net|io)\b", text)


def test_a_lock_survives_a_round_trip_and_keeps_other_platforms(tmp_path: Path) -> None:
    pin = LockedFile("1", "pool/a/a_1.deb", "0" * 64)
    anywhere = LockedFile("1", "a-1-py3-none-any.whl", "0" * 64)
    lock = Lock({"w": pin, "any": anywhere}, {"d": pin}, {"s": (pin, pin)})
    path = tmp_path / "channel.lock"
    save_lock("linux-64", lock, path)
    # Pure wheels and sources are those of the first platform.
    own = LockedFile("1", "w-1-cp311-cp311-linux_aarch64.whl", "1" * 64)
    save_lock("linux-aarch64", Lock({"w": own, "any": anywhere}), path)
    assert load_lock("linux-64", path) == lock
    assert load_lock("linux-aarch64", path) == Lock({"any": anywhere, "w": own}, {}, lock.sources)
    assert locked_subdirs(path) == ("linux-64", "linux-aarch64")
    assert locked_subdirs(tmp_path / "none") == ()


def test_problems_say_what_to_run(tmp_path: Path) -> None:
    hint = "run: python -m benchmarks.channel lock"
    with pytest.raises(ChannelError, match=f"cannot read.*{hint}"):
        load_lock("linux-64", tmp_path / "missing.lock")
    with pytest.raises(ChannelError, match=f"schema 9.*{hint}"):
        parse_lock({"schema": 9}, "linux-64")
    with pytest.raises(ChannelError, match=f"nothing of win-64.*{hint}"):
        parse_lock({"schema": 1}, "win-64")
    with pytest.raises(ChannelError, match=f"wheel nope is not in.*{hint}"):
        Lock().wheel("nope")


def test_the_address_in_pips_report_is_dropped() -> None:
    item = {
        "metadata": {"name": "Torch", "version": "2.0+cpu"},
        "download_info": {
            "url": "https://host.example/x/torch-2.0%2Bcpu-cp311-cp311-linux_x86_64.whl",
            "archive_info": {"hashes": {"sha256": "ab"}},
        },
    }
    name, pin = read_report_item(item)
    assert name == "torch"
    assert pin == LockedFile("2.0+cpu", "torch-2.0+cpu-cp311-cp311-linux_x86_64.whl", "ab")


def test_pins_that_are_there_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = (
        Recipe("old", "wheel"),
        Recipe("new", "wheel"),
        Recipe("libz", "debian", packages=("zlib1g",)),
    )
    asked: list[str] = []

    def pip(arguments: list[str]) -> str:
        asked.append(Path(arguments[arguments.index("--constraint") + 1]).read_text())
        items = [
            {
                "metadata": {"name": name, "version": "1"},
                "download_info": {
                    "url": f"file:///x/{name}-1-py3-none-any.whl",
                    "archive_info": {"hashes": {"sha256": "c" * 64}},
                },
            }
            for name in ("old", "new")
        ]
        return json.dumps({"install": items})

    monkeypatch.setattr(resolve, "run_pip", pip)
    # Another file of the same version must not take its place either.
    kept = LockedFile("1", "old-1-cp311-cp311-linux_x86_64.whl", "a" * 64)
    deb, gone = LockedFile("1", "pool/zlib1g.deb", "b" * 64), LockedFile("1", "gone.deb", "d" * 64)
    before = Lock({"old": kept, "dropped": kept}, {"zlib1g": deb, "gone": gone})
    after = resolve.resolve(
        Channel("bookworm", "3.11", {}, recipes), LINUX_64, before, lambda line: None
    )
    assert asked == ["old==1\ndropped==1\n"]
    assert after.wheels == {
        "old": kept, "new": LockedFile("1", "new-1-py3-none-any.whl", "c" * 64)
    }  # fmt: skip
    # No index of Debian was read for it; what no recipe names is dropped.
    assert after.debs == {"zlib1g": deb}


def test_a_second_version_of_a_project_is_resolved_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = (
        Recipe("fast", "wheel", require="==1"),
        Recipe("fast-gpu", "wheel", package="fast", pypi="fast", require="==2"),
        Recipe("fast-old", "wheel", package="fast", pypi="fast", require="==0"),
    )
    asked: list[list[str]] = []

    def pip(arguments: list[str]) -> str:
        wanted = arguments[-1]
        asked.append([argument for argument in arguments if argument.startswith("fast")])
        item = {
            "metadata": {"name": "fast", "version": wanted[-1]},
            "download_info": {
                "url": f"file:///x/fast-{wanted[-1]}-py3-none-any.whl",
                "archive_info": {"hashes": {"sha256": wanted[-1] * 64}},
            },
        }
        return json.dumps({"install": [item]})

    monkeypatch.setattr(resolve, "run_pip", pip)
    kept = LockedFile("0", "fast-0-py3-none-any.whl", "f" * 64)
    channel = Channel("bookworm", "3.11", {}, recipes)
    found = resolve.resolve_wheels(channel, LINUX_64, {"fast-old": kept})
    assert asked == [["fast==1"], ["fast==2"]]
    assert {name: pin.version for name, pin in found.items()} == {
        "fast": "1", "fast-gpu": "2", "fast-old": "0"
    }  # fmt: skip


def test_two_versions_are_downloaded_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    pins = {
        "fast": LockedFile("1", "fast-1-py3-none-any.whl", one),
        "fast-gpu": LockedFile("2", "fast-2-py3-none-any.whl", two),
    }
    calls: list[str] = []

    def pip(arguments: list[str]) -> str:
        requirements = Path(arguments[arguments.index("-r") + 1])
        calls.append(requirements.read_text().split(" ")[0])
        data = {"fast==1": b"one", "fast==2": b"two"}[calls[-1]]
        name = f"fast-{calls[-1][-1]}-py3-none-any.whl"
        (requirements.parent / name).write_bytes(data)
        return ""

    monkeypatch.setattr(fetch, "run_pip", pip)
    fetch.fetch_wheels(tmp_path, pins, "3.11", LINUX_64)
    assert sorted(calls) == ["fast==1", "fast==2"]
    assert all(fetch.cached(tmp_path, pin).exists() for pin in pins.values())
    fetch.fetch_wheels(tmp_path, pins, "3.11", LINUX_64)
    assert len(calls) == 2


def test_requirements_pin_version_and_hash() -> None:
    pin = LockedFile("1.10.0", "starlette-1.10.0-py3-none-any.whl", "ab")
    assert fetch.requirement_lines({"starlette": pin}) == "starlette==1.10.0 --hash=sha256:ab\n"


def test_a_download_is_checked_against_the_lock(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "a.deb").write_bytes(b"good")
    good = LockedFile("1", "a.deb", hashlib.sha256(b"good").hexdigest())
    fetch.fetch_debian(tmp_path / "cache", mirror.as_uri(), [good])
    assert fetch.cached(tmp_path / "cache", good).read_bytes() == b"good"
    bad = LockedFile("1", "a.deb", "0" * 64)
    with pytest.raises(ChannelError, match=r"a\.deb has sha256 .* pinned is 0000"):
        fetch.fetch_debian(tmp_path / "cache", mirror.as_uri(), [bad])
    assert not fetch.cached(tmp_path / "cache", bad).exists()


def test_a_file_that_is_gone_says_how_to_go_on(tmp_path: Path) -> None:
    gone = LockedFile("1", "gone.deb", "0" * 64)
    with pytest.raises(ChannelError, match=r"cannot fetch gone\.deb.*benchmarks\.channel lock"):
        fetch.fetch_debian(tmp_path / "cache", tmp_path.as_uri(), [gone])
