"""The budget of sizes and digests: what it forbids, how it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.catalogue import workloads
from benchmarks.gate import (
    BUDGET,
    Budget,
    Figures,
    gate,
    problems,
    read_budget,
    write_budget,
)
from slimpack.errors import InputError

FIGURES = Figures(
    layers=25,
    files=100,
    unpacked=3_000_000,
    environment=1_000_000,
    sent_same=0,
    sent_application=500,
    sent_package=20_000,
    contents="sha256:00",
)


def told(**changes: int | str) -> list[str]:
    return list(problems("w1 safe", FIGURES, replace(FIGURES, **changes), 0.01))  # type: ignore[arg-type]


def test_what_is_the_same_is_no_problem() -> None:
    assert told() == []
    assert told(environment=1_009_000) == []


def test_what_grows_is_told_with_its_figures() -> None:
    assert told(environment=1_020_000) == [
        "w1 safe: environment grew from 1000000 to 1020000 (+2.00 %)"
    ]


def test_what_shrinks_is_told_too_so_that_the_budget_follows() -> None:
    assert told(files=90) == ["w1 safe: files shrank from 100 to 90 (-10.00 %)"]


def test_a_layer_more_and_a_byte_where_there_was_none_count() -> None:
    assert told(layers=26) == ["w1 safe: layers grew from 25 to 26 (+4.00 %)"]
    assert told(sent_same=1) == ["w1 safe: sent-same grew from 0 to 1"]


def test_other_bytes_are_told() -> None:
    (line,) = told(contents="sha256:11")
    assert line == "w1 safe: contents: other bytes than before, sha256:11 instead of sha256:00"


def test_a_budget_that_was_written_is_read(tmp_path: Path) -> None:
    budget = Budget(0.02, {("w1", "safe"): FIGURES, ("w0", "tight"): replace(FIGURES, files=3)})
    write_budget(budget, tmp_path / "budget.toml")
    assert read_budget(tmp_path / "budget.toml") == budget


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tolerance = 101", "budget.toml: tolerance: expected 0 to 100, got 101"),
        ("tolerances = 1", "did you mean 'tolerance'"),
        ('[[image]]\nlayers = "x"', "budget.toml: image[1].layers: expected an integer"),
        ("[[image", "budget.toml: not valid TOML"),
    ],
)
def test_a_wrong_budget_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "budget.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_budget(tmp_path / "budget.toml")
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.channel
def test_workloads_of_packages_that_ci_has_are_within_their_budget(
    channel: str, tmp_path: Path
) -> None:
    """Sizes, layers, bytes sent again, digests; others: python -m benchmarks gate."""
    assert channel
    names = [name for name, workload in workloads().items() if not workload.groups]
    assert names
    assert gate(tmp_path, names=names) == []


def test_the_budget_in_the_repository_is_filled() -> None:
    figures = read_budget(BUDGET).figures
    assert figures
    assert all(one.layers and one.environment and one.contents for one in figures.values())
