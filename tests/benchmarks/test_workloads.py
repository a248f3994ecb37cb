"""The workloads as data. tests/engine/test_workloads.py runs those that need no big packages."""

from __future__ import annotations

import click
import pytest

from benchmarks.__main__ import main
from benchmarks.catalogue import WORKLOADS, Workload, workloads
from benchmarks.channel.lock import load_lock
from benchmarks.channel.plan import Plan, make_plans
from benchmarks.channel.recipes import PLATFORMS, load_channel
from benchmarks.parts import Ask, load
from slimpack.config_file import read_config
from slimpack.env.inputs.spec import read_environment_yml
from slimpack.errors import InputError

NAMES = sorted(path.parent.name for path in WORKLOADS.glob("*/slimpack.toml"))


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """What the local channel can hold."""
    channel = load_channel()
    return make_plans(channel, load_lock(PLATFORMS[0].subdir), PLATFORMS[0], full=False)


@pytest.fixture(params=NAMES)
def workload(request: pytest.FixtureRequest) -> Workload:
    name: str = request.param
    return workloads((name,))[name]


def test_these_workloads_are_there() -> None:
    assert {"g1", "g2", "w0", "w1", "w2", "w3", "w4", "w5", "w6"} == set(NAMES)


def test_every_workload_can_be_named_on_the_command_line() -> None:
    for command in ("run", "gate"):
        options = {option.name: option for option in main.commands[command].params}
        kind = options["names"].type
        assert isinstance(kind, click.Choice)
        assert set(kind.choices) == set(NAMES)


@pytest.mark.parametrize("part", ["builds", "start", "lazy"])
def test_what_needs_a_gpu_is_not_started(part: str) -> None:
    with pytest.raises(InputError, match="workload g1 needs a GPU and is not started here"):
        next(load(part).measure(Ask(workloads=("g1",))))


def test_its_groups_hold_what_it_asks_for(workload: Workload, plans: list[Plan]) -> None:
    groups = {"", *load_channel().with_needs(workload.groups)}
    there = {plan.recipe.package_name for plan in plans if plan.recipe.group in groups}
    spec = read_environment_yml(workload.folder / "environment.yml")
    asked = {words.split()[0] for words in spec.specs}
    assert asked <= there
    assert {workload.pure, workload.heavy} - {""} <= there


def test_no_group_of_it_is_named_for_nothing(workload: Workload, plans: list[Plan]) -> None:
    spec = read_environment_yml(workload.folder / "environment.yml")
    asked = {words.split()[0] for words in spec.specs}
    of_packages = {p.recipe.group for p in plans if p.recipe.package_name in asked}
    assert set(workload.groups) <= of_packages


def test_its_image_does_what_the_data_say(workload: Workload) -> None:
    config = read_config(workload.config)
    listens = bool(workload.request.path)
    assert config.image.expose == ((f"{workload.port}/tcp",) if listens else ())
    assert workload.request.path.startswith("/") or not listens
    assert workload.request.expect
    assert bool(workload.modules) == (config.image.entrypoint[0] == "python")
    if workload.modules:
        assert workload.self_test == ("python", "selftest.py")
        assert (workload.folder / "app/selftest.py").is_file()
