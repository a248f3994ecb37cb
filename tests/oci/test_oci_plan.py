"""Which file goes into which layer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.oci.plan import LayerPlan, plan_layers
from slimpack.tree import Entry, Kind, Tree, bytes_entry, directory_entry

OWNERS = ["", "app", "data", "a", "b", "c", "d", "e"]


def sized(path: str, owner: str, size: int) -> Entry:
    return Entry(path, Kind.FILE, 0o644, owner, size, opener=lambda: open("/dev/null", "rb"))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    entries: list[Entry] = []
    for number in range(draw(st.integers(0, 25))):
        owner = draw(st.sampled_from(OWNERS))
        folder = draw(st.sampled_from(["opt/env", "opt/env/lib", "tmp", "etc"]))
        entries.append(sized(f"{folder}/f{number}", owner, draw(st.integers(0, 100))))
    for folder in draw(st.sets(st.sampled_from(["tmp", "opt/env", "srv"]))):
        mode = draw(st.sampled_from([0o755, 0o1777]))
        entries.append(directory_entry(folder, mode=mode, owner=draw(st.sampled_from(OWNERS))))
    return Tree(entries)


def summary(plans: list[LayerPlan]) -> list[tuple[str, list[str]]]:
    return [(plan.name, [entry.path for entry in plan.entries]) for plan in plans]


@settings(deadline=None)
@given(trees(), st.integers(1, 12), st.sampled_from([(), ("app",), ("app", "data")]))
def test_every_file_is_in_one_layer_and_the_budget_holds(
    tree: Tree, budget: int, last: tuple[str, ...]
) -> None:
    plans = plan_layers(tree, budget=budget, last_owners=last)
    assert len(plans) <= budget
    placed = [e for plan in plans for e in plan.entries if e.kind is not Kind.DIRECTORY]
    assert sorted(e.path for e in placed) == [e.path for e in tree if e.kind is not Kind.DIRECTORY]
    assert {e.path for plan in plans for e in plan.entries} == {e.path for e in tree}
    assert all(tree[e.path] is e for plan in plans for e in plan.entries)
    assert all(list(p.entries) == sorted(p.entries, key=lambda e: e.path) for p in plans)


@settings(deadline=None)
@given(trees(), st.integers(1, 12))
def test_owners_are_never_torn_apart(tree: Tree, budget: int) -> None:
    plans = plan_layers(tree, budget=budget, last_owners=["app"])
    owners = [owner for plan in plans for owner in plan.owners]
    assert sorted(owners) == sorted({e.owner for e in tree})


@settings(deadline=None)
@given(trees(), st.integers(2, 12))
def test_the_application_is_on_top_and_alone(tree: Tree, budget: int) -> None:
    plans = plan_layers(tree, budget=budget, last_owners=["app", "data"])
    if any(entry.owner in ("app", "data") for entry in tree):
        assert set(plans[-1].owners) <= {"app", "data"}
    assert all(not set(plan.owners) & {"app", "data"} for plan in plans[:-1])


@settings(deadline=None)
@given(trees(), st.integers(1, 6), st.integers(1, 150))
def test_no_layer_is_wider_than_allowed(tree: Tree, budget: int, limit: int) -> None:
    plans = plan_layers(tree, budget=budget, max_layer_bytes=limit)
    whole = plan_layers(tree, budget=budget)
    for plan in plans:
        files = [e for e in plan.entries if e.size]
        assert plan.size <= limit or len(files) == 1
    assert len(plans) == len(whole) or any(plan.size > limit for plan in whole)
    placed = [e.path for p in plans for e in p.entries if e.kind is not Kind.DIRECTORY]
    assert len(placed) == len(set(placed)) == tree.files


@settings(deadline=None)
@given(trees(), st.integers(1, 12))
def test_directories_keep_their_mode_in_every_layer_that_passes_through(
    tree: Tree, budget: int
) -> None:
    for plan in plan_layers(tree, budget=budget):
        paths = {entry.path for entry in plan.entries}
        for folder in ("tmp", "opt/env"):
            if folder in tree and any(path.startswith(f"{folder}/") for path in paths):
                assert folder in paths


def packages(**sizes: int) -> Tree:
    return Tree(sized(f"opt/{owner}/f", owner, size) for owner, size in sizes.items())


def test_biggest_first_then_the_rest_then_nobody_then_the_application() -> None:
    tree = packages(small=1, tiny=0, huge=900, large=500, application=3).merge(
        [sized("etc/x", "", 5000)]
    )
    plans = plan_layers(tree, budget=5, last_owners=["application"])
    assert [plan.name for plan in plans] == [
        "huge",
        "large",
        "2 smaller packages",
        "files of no package",
        "application",
    ]
    assert plans[2].owners == ("small", "tiny")


def test_of_many_packages_the_five_biggest_are_stacked_smallest_first() -> None:
    sizes = {f"p{number:02}": 1000 - number for number in range(12)}
    plans = plan_layers(packages(**sizes))
    rising, falling = [f"p0{number}" for number in (4, 3, 2, 1, 0)], sorted(sizes)[5:]
    assert [plan.name for plan in plans] == [*rising, *falling]
    few = plan_layers(packages(**dict(list(sizes.items())[:10])))
    assert [plan.name for plan in few] == sorted(sizes)[:10]


@pytest.mark.parametrize(
    ("budget", "names"),
    [
        (1, ["4 packages"]),
        (2, ["3 packages", "application"]),
        (3, ["2 packages", "files of no package", "application"]),
        (4, ["huge", "small", "files of no package", "application"]),
        (9, ["huge", "small", "files of no package", "application"]),
    ],
)
def test_small_budgets(budget: int, names: list[str]) -> None:
    tree = packages(small=1, huge=900, application=3).merge([sized("etc/x", "", 7)])
    plans = plan_layers(tree, budget=budget, last_owners=["application"])
    assert [plan.name for plan in plans] == names


def test_equal_sizes_are_ranked_by_name() -> None:
    plans = plan_layers(packages(b=5, a=5, c=5), budget=2)
    assert [plan.owners for plan in plans] == [("a",), ("b", "c")]


def test_a_change_of_a_small_package_changes_one_layer_only() -> None:
    before = plan_layers(packages(huge=900, large=500, small=10, tiny=1), budget=3)
    after = plan_layers(packages(huge=900, large=500, small=20, tiny=1), budget=3)
    assert summary(before) == summary(after)
    assert [p.size for p in before[:2]] == [p.size for p in after[:2]]


def test_splits_are_numbered_along_the_paths() -> None:
    tree = Tree(sized(f"opt/f{i}", "torch", 40) for i in range(5))
    plans = plan_layers(tree, budget=1, max_layer_bytes=100)
    assert summary(plans) == [
        ("torch (1/3)", ["opt/f0", "opt/f1"]),
        ("torch (2/3)", ["opt/f2", "opt/f3"]),
        ("torch (3/3)", ["opt/f4"]),
    ]


def test_directories_of_the_base_are_repeated_where_they_are_crossed() -> None:
    base = [directory_entry("tmp", mode=0o1777), directory_entry("srv", mode=0o700)]
    tree = Tree([bytes_entry("tmp/a/x", b"", owner="p")])
    plan = plan_layers(tree, directories=base)[0]
    assert [(e.path, e.mode) for e in plan.entries] == [("tmp", 0o1777), ("tmp/a/x", 0o644)]


def test_nothing_needs_no_layer() -> None:
    assert plan_layers(Tree([])) == []


@pytest.mark.parametrize(("budget", "limit"), [(0, 10), (-1, 10), (1, 0)])
def test_impossible_budgets(budget: int, limit: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        plan_layers(Tree([]), budget=budget, max_layer_bytes=limit)


def test_small_packages_are_dealt_out_by_their_names() -> None:
    """Another package, or a new size, moves none of the others to another layer."""
    sizes = {f"package-{number}": number + 1 for number in range(60)}
    plans = plan_layers(packages(**sizes), budget=24)
    assert len(plans) == 24
    rest = [plan for plan in plans if len(plan.owners) > 1]
    assert [plan.name for plan in rest] == [f"{len(p.owners)} smaller packages" for p in rest]
    assert len(rest) == 4

    def homes(found: list[LayerPlan]) -> dict[str, frozenset[str]]:
        return {owner: frozenset(plan.owners) for plan in found for owner in plan.owners}

    before = homes(plans)
    after = homes(plan_layers(packages(**{**sizes, "package-3": 5, "zz": 1}), budget=24))
    moved = {owner for owner in before if after[owner] - {"zz"} != before[owner]}
    assert not moved
