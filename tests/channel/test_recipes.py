"""packages.toml and the plans that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.channel import plan
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.lock import Lock, LockedFile
from benchmarks.channel.recipes import (
    LINUX_64,
    Channel,
    Recipe,
    load_channel,
    parse_channel,
    parse_recipe,
)

SETTINGS = {"suite": "bookworm", "python": "3.11"}


def test_unknown_keys_and_kinds_are_named() -> None:
    with pytest.raises(ChannelError, match=r"\[wheel.numpy\] has an unknown key 'dependz'"):
        parse_recipe("wheel", "numpy", {"dependz": []})
    with pytest.raises(ChannelError, match=r"unknown kind \[weel\]"):
        parse_channel({"channel": SETTINGS, "weel": {}})


def test_one_line_makes_a_recipe() -> None:
    channel = parse_channel({"channel": SETTINGS, "wheel": {"h11": {}}})
    assert channel.recipes == (Recipe("h11", "wheel"),)


def test_a_group_must_be_declared() -> None:
    table = {"channel": SETTINGS, "wheel": {"big": {"group": "heavy"}}}
    with pytest.raises(ChannelError, match="big is in group 'heavy', known: none"):
        parse_channel(table)
    declared = parse_channel({**table, "groups": {"heavy": "big ones"}})
    assert declared.groups == {"heavy": "big ones"}
    assert declared.recipes == (Recipe("big", "wheel", group="heavy"),)


def test_packages_depend_on_their_own_group_and_on_what_it_needs() -> None:
    channel = load_channel()
    recipes = channel.by_name()
    for recipe in recipes.values():
        there = {"", *channel.with_needs([recipe.group])}
        for spec in (*recipe.depends, recipe.version_of):
            other = recipes.get(spec.partition(" ")[0])
            assert other is None or other.group in there, (recipe.name, spec)


def test_groups_that_need_others_are_checked() -> None:
    table = {"channel": SETTINGS, "groups": {"a": "", "b": ""}, "needs": {"a": ["b"]}}
    channel = parse_channel(table)
    assert channel.with_needs(["a"]) == {"a", "b"}
    assert channel.with_needs(["b"]) == {"b"}
    with pytest.raises(ChannelError, match=r"\[needs\] names 'c', which is no group"):
        parse_channel({**table, "needs": {"a": ["c"]}})


def test_dependencies_between_recipes_exist() -> None:
    channel = load_channel()
    names = {recipe.package_name for recipe in channel.recipes}
    for recipe in channel.recipes:
        for spec in recipe.depends:
            assert spec.split()[0] in names or spec.startswith("__"), (recipe.name, spec)


def test_no_library_is_promised_twice() -> None:
    sonames = [soname for recipe in load_channel().recipes for soname in recipe.sonames]
    assert len(sonames) == len(set(sonames))


def small_channel() -> tuple[Channel, Lock]:
    recipes = (
        Recipe("h11", "wheel"),
        Recipe("fast", "wheel"),
        Recipe("libz", "debian", packages=("zlib1g",)),
        Recipe("python", "python", packages=("python3.11",), source="python3.11"),
        Recipe("libz-ng", "generated", version_of="libz"),
    )
    pins = {
        "h11": LockedFile("0.16.0", "h11-0.16.0-py3-none-any.whl", "a" * 64),
        "fast": LockedFile("2.0", "fast-2.0-cp311-cp311-manylinux_2_28_x86_64.whl", "b" * 64),
    }
    debs = {
        "zlib1g": LockedFile("1:1.2.13.dfsg-1", "pool/zlib1g.deb", "c" * 64),
        "python3.11": LockedFile("3.11.2-6", "pool/python3.11.deb", "d" * 64),
    }
    source = (
        LockedFile("3.11.2-6", "pool/p.orig.tar.gz", "e" * 64),
        LockedFile("3.11.2-6", "pool/p.debian.tar.xz", "f" * 64),
    )
    return Channel("bookworm", "3.11", {}, recipes), Lock(pins, debs, {"python3.11": source})


def plans_by_name(channel: Channel, lock: Lock) -> dict[str, plan.Plan]:
    plans = plan.make_plans(channel, lock, LINUX_64, full=False)
    return {p.recipe.name: p for p in plans}


def test_plans_follow_conda_forges_naming() -> None:
    plans = plans_by_name(*small_channel())
    assert plans["h11"].place.startswith("noarch/h11-0.16.0-pyh")
    assert plans["fast"].place.startswith("linux-64/fast-2.0-py311h")
    assert plans["libz"].place.startswith("linux-64/libz-1.2.13-h")
    assert plans["python"].file_name.endswith("_0_cpython.conda")
    assert plans["libz-ng"].version == "1.2.13"
    assert [pin.name for pin in plans["python"].source] == ["p.debian.tar.xz"]


def test_a_changed_pin_changes_only_what_depends_on_it() -> None:
    channel, lock = small_channel()
    before = plans_by_name(channel, lock)
    changed = replace(lock.deb("python3.11"), sha256="0" * 64)
    after = plans_by_name(channel, replace(lock, debs={**lock.debs, "python3.11": changed}))
    different = {name for name in before if before[name].key != after[name].key}
    # "fast" ships .pyc files that the packaged interpreter compiles.
    assert different == {"python", "fast"}
    assert before["fast"].build == after["fast"].build


def test_a_group_moves_no_package() -> None:
    channel, lock = small_channel()
    grouped = tuple(replace(r, group="heavy") for r in channel.recipes)
    before, after = (plans_by_name(c, lock) for c in (channel, replace(channel, recipes=grouped)))
    assert {n: p.key for n, p in before.items()} == {n: p.key for n, p in after.items()}
    assert after["h11"].option == "heavy"


def test_a_local_version_becomes_a_variant_in_the_build_string() -> None:
    channel, lock = small_channel()
    name = "fast-2.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    wheels = {**lock.wheels, "fast": LockedFile("2.0+cpu", name, "b" * 64)}
    fast = plans_by_name(channel, replace(lock, wheels=wheels))["fast"]
    assert fast.place.startswith("linux-64/fast-2.0-cpu_py311h")


def test_two_recipes_make_versions_of_one_package() -> None:
    channel, lock = small_channel()
    second = Recipe("fast-gpu", "wheel", package="fast", pypi="fast", variant="cuda130")
    pin = LockedFile("3.0", "fast-3.0-cp311-cp311-manylinux_2_28_x86_64.whl", "9" * 64)
    channel = replace(channel, recipes=(*channel.recipes, second))
    plans = plans_by_name(channel, replace(lock, wheels={**lock.wheels, "fast-gpu": pin}))
    assert plans["fast"].place.startswith("linux-64/fast-2.0-py311h")
    assert plans["fast-gpu"].place.startswith("linux-64/fast-3.0-cuda130_py311h")


def test_several_packages_come_from_one_wheel() -> None:
    channel, lock = small_channel()
    both = tuple(Recipe(f"lib-{part}", "cuda", pypi="nvidia-lib") for part in ("run", "dev"))
    pin = LockedFile("13.0.1", "nvidia_lib-13.0.1-py3-none-manylinux2014_x86_64.whl", "9" * 64)
    channel = replace(channel, recipes=(*channel.recipes, *both))
    plans = plans_by_name(channel, replace(lock, wheels={**lock.wheels, "nvidia-lib": pin}))
    for name in ("lib-run", "lib-dev"):
        assert plans[name].place.startswith(f"linux-64/{name}-13.0.1-h")
        assert plans[name].wheels == {"nvidia-lib": pin}
        # Nothing in it is Python's.
        assert not plans[name].needs_interpreter


def test_a_key_that_a_recipe_does_not_use_moves_no_package() -> None:
    assert plan.stated(Recipe("h11", "wheel", group="heavy")) == {"name": "h11", "kind": "wheel"}
    assert plan.stated(Recipe("h11", "wheel", level=1))["level"] == 1


def test_a_changed_recipe_changes_the_build_string() -> None:
    channel, lock = small_channel()
    edited = tuple(replace(r, depends=("x",)) if r.name == "h11" else r for r in channel.recipes)
    before, after = (plans_by_name(c, lock) for c in (channel, replace(channel, recipes=edited)))
    assert {n for n in before if before[n].build != after[n].build} == {"h11"}


def test_two_recipes_for_one_file_are_refused() -> None:
    channel, lock = small_channel()
    twice = replace(channel, recipes=(*channel.recipes, channel.recipes[0]))
    with pytest.raises(ChannelError, match="two recipes make"):
        plan.make_plans(twice, lock, LINUX_64, full=False)
