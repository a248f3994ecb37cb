"""Publishing: the channel folder follows the cache, and repairs itself."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from benchmarks.channel import build
from benchmarks.channel.__main__ import main
from benchmarks.channel.conda_format import write_conda
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.plan import Plan
from benchmarks.channel.recipes import Kind, Recipe, load_channel


def make(cache: Path, name: str, *depends: str, group: str = "") -> Plan:
    recipe = Recipe(name, "generated", group=group)
    plan = Plan(recipe, "1.0", "0", None, "linux-64", name * 20, {}, (), ())
    made = write_conda(cache / "made", name=name, depends=depends, files={f"share/{name}": name})
    target = build.package_file(cache, plan)
    target.parent.mkdir(parents=True)
    made.rename(target)
    return plan


def published(out: Path) -> set[str]:
    repodata = json.loads((out / "linux-64/repodata.json").read_text())
    return set(repodata["packages.conda"])


def test_the_channel_follows_the_plans(tmp_path: Path) -> None:
    cache, out, lines = tmp_path / "cache", tmp_path / "out", list[str]()
    one, two = make(cache, "one", "two >=1", "__glibc"), make(cache, "two")
    build.publish([one, two], cache, out, lines.append)
    assert published(out) == {"one-1.0-0.conda", "two-1.0-0.conda"}
    build.publish([one, two], cache, out, lines.append)
    assert lines[-1].endswith("2 packages, up to date")
    build.publish([two], cache, out, lines.append)
    assert published(out) == {"two-1.0-0.conda"}
    assert not (out / "linux-64/one-1.0-0.conda").exists()


def names(plans: list[Plan]) -> list[str]:
    return [plan.recipe.name for plan in plans]


def missing(name: str, kind: Kind = "generated", group: str = "") -> Plan:
    recipe = Recipe(name, kind, group=group)
    return Plan(recipe, "1.0", "0", None, "linux-64", name * 20, {}, (), ())


def test_a_group_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    plans = [missing("always"), missing("big", group="heavy"), missing("slow", "python-source")]
    assert names(build.chosen(plans, (), tmp_path, {})) == ["always"]
    assert names(build.chosen(plans, ["heavy"], tmp_path, {})) == ["always", "big"]
    assert names(build.chosen(plans, ["full"], tmp_path, {})) == ["always", "slow"]


def test_a_group_stays_in_the_channel_while_all_of_it_is_current(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", group="heavy"), make(tmp_path, "two", group="heavy")
    other = missing("other", group="workloads")
    assert names(build.chosen([one, two, other], (), tmp_path, {})) == ["one", "two"]
    build.package_file(tmp_path, two).unlink()
    # One alone could depend on what is no longer there.
    assert names(build.chosen([one, two, other], (), tmp_path, {})) == []
    assert names(build.chosen([one, two, other], ["heavy"], tmp_path, {})) == ["one", "two"]


def test_a_group_goes_when_another_that_it_needs_is_not_there(tmp_path: Path) -> None:
    user, library = make(tmp_path, "user", group="heavy"), missing("library", group="base")
    needs = {"heavy": ["base"]}
    assert names(build.chosen([user, library], (), tmp_path, needs)) == []
    both = build.chosen([user, library], ["heavy", "base"], tmp_path, needs)
    assert names(both) == ["user", "library"]


def test_an_unknown_group_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["build", "--out", str(tmp_path / "out"), "--group", "hevy"]) == 1
    known = "workloads, boosting, language, heavy, cuda, cuda-heavy"
    assert capsys.readouterr().err == f"error: no group 'hevy', known: {known}\n"
    assert not (tmp_path / "out").exists()


def test_a_damaged_channel_is_repaired_from_the_cache(tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    plan = make(cache, "one")
    build.publish([plan], cache, out, print)
    package = out / plan.place
    good = package.read_bytes()
    package.write_bytes(b"damaged")
    assert build.package_file(cache, plan).read_bytes() == good
    build.publish([plan], cache, out, print)
    assert package.read_bytes() == good


def test_a_dependency_outside_the_channel_is_an_error(tmp_path: Path) -> None:
    plan = make(tmp_path / "cache", "one", "two >=1")
    with pytest.raises(ChannelError, match="one depends on two, which the channel lacks"):
        build.publish([plan], tmp_path / "cache", tmp_path / "out", print)
    assert not list((tmp_path / "out").glob("*/*"))


def test_a_dependency_must_be_there_for_the_same_platform(tmp_path: Path) -> None:
    def at(place: str, name: str, *depends: str) -> dict[str, Path]:
        subdir = place.partition("/")[0]
        return {place: write_conda(tmp_path, name=name, depends=depends, files={}, subdir=subdir)}

    pair = at("linux-64/two", "two") | at("linux-aarch64/one", "one", "two")
    with pytest.raises(ChannelError, match="two, which the channel lacks for linux-aarch64"):
        build.check_closed(pair)
    build.check_closed(pair | at("linux-aarch64/two", "two"))
    # A noarch package that only the first platform can use is none of the others' business.
    build.check_closed(at("linux-64/three", "three") | at("noarch/any", "any", "three"))


def test_leftovers_are_swept_away(tmp_path: Path) -> None:
    left = tmp_path / "work/left"
    left.mkdir(parents=True)
    with build.exclusive(tmp_path, print):
        assert not left.exists()
        assert (tmp_path / "work").is_dir()
    assert not (tmp_path / "work").exists()


def test_the_list_names_every_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--full"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {"python", "numpy", "fastapi", "prefix-probe"} <= {row[0] for row in rows}
    assert {row[3] for row in rows} == {"linux-64", "linux-aarch64", "noarch"}
    assert {row[5] for row in rows if len(row) > 5} == set(load_channel().groups)
    assert ["pytorch", "2.13.0"] in [row[:2] for row in rows if row[5:] == ["workloads"]]
    assert ["pytorch", "2.14.1"] in [row[:2] for row in rows if row[5:] == ["cuda-heavy"]]


def test_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> Path:
        raise ChannelError("no mirror")

    monkeypatch.setattr("benchmarks.channel.__main__.build_channel", broken)
    assert main(["build", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: no mirror\n"


def test_a_second_builder_waits_and_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    order: list[str] = []
    told = threading.Event()

    def tell(line: str) -> None:
        lines.append(line)
        told.set()

    def second() -> None:
        with build.exclusive(tmp_path, tell):
            order.append("second")

    thread = threading.Thread(target=second)
    with build.exclusive(tmp_path, print):
        thread.start()
        assert told.wait(30)
        order.append("first")
    thread.join()
    assert lines == ["waiting for another build of the channel"]
    assert order == ["first", "second"]
