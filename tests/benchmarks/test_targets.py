"""Targets: read from data, held against results, shown as reached, missed or not measured."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks.catalogue import workloads
from benchmarks.parts import RESULTS
from benchmarks.records import Record, Results, read_all
from benchmarks.targets import PAGE, Target, markdown, read_targets, verdicts
from slimpack.errors import InputError

SIZE = """
[[target]]
title = "size"
part = "images"
workload = "w1"
metric = "compressed"
method = "safe"
at_most = "1/2"
limited_by = "this"
"""


def target(folder: Path, text: str) -> Target:
    file = folder / "targets.toml"
    file.write_text(text)
    (found,) = read_targets(file)
    return found


def of_images(**values: float) -> dict[str, Results]:
    records = tuple(Record("w1", name, "compressed", (value,)) for name, value in values.items())
    return {"images": Results("images", records=records)}


@pytest.mark.parametrize(
    ("values", "is_reached", "words"),
    [
        ({"best": 10e6, "safe": 5e6}, True, "| reached | 0.500 | 0.500 |"),
        ({"best": 10e6, "safe": 5.001e6}, False, "| **missed**: this | 0.500 | 0.500 |"),
        ({"safe": 5e6}, None, "| not measured | 0.500 |  |"),
        ({"best": 5e6}, None, "| not measured | 0.500 |  |"),
    ],
)
def test_a_ratio_is_exact(
    tmp_path: Path, values: dict[str, float], is_reached: bool | None, words: str
) -> None:
    (found,) = verdicts([target(tmp_path, SIZE)], of_images(**values))
    assert found.target.at_most == Fraction(1, 2)
    assert found.is_reached is is_reached
    assert words in markdown([found])


def test_of_all_workloads_the_worst_counts(tmp_path: Path) -> None:
    text = SIZE.replace('workload = "w1"\n', "").replace('at_most = "1/2"', "below = 200_000_000")
    asked = target(tmp_path, text)
    records = [Record(name, "safe", "compressed", (1e6,)) for name in workloads()]
    (one,) = verdicts([asked], {"images": Results("images", records=tuple(records))})
    assert one.is_reached
    records[3] = Record(records[3].workload, "safe", "compressed", (2e8,))
    (one,) = verdicts([asked], {"images": Results("images", records=tuple(records))})
    assert (one.workload, one.is_reached) == (records[3].workload, False)
    assert "| **missed**: this | < 200.0 MB | 200.0 MB |" in markdown([one])
    (one,) = verdicts([asked], {"images": Results("images", records=tuple(records[1:]))})
    assert one.is_reached is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"1/2"', '"half"', "expected a fraction"),
        ('"1/2"', '"1/0"', "expected a fraction"),
        ('at_most = "1/2"\n', "", "either this or below"),
        ('"1/2"', '"1/2"\nbelow = 3', "either this or below"),
        ('"w1"', '"w77"', "workload"),
        ('"images"', '"pictures"', "part"),
        ('"compressed"', '"weight"', "metric"),
        ('"safe"', '"save"', "method"),
        ('title = "size"', 'tittle = "size"', "tittle"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        target(tmp_path, SIZE.replace(old, new))


def test_the_page_says_what_the_results_say_and_every_target_was_measured() -> None:
    """One whose case or method is not measured by that name would be neither missed nor reached."""
    found = list(verdicts(read_targets(), read_all(RESULTS)))
    assert {one.target.title for one in found if one.is_reached is None} == set()
    assert (RESULTS / PAGE).read_text(encoding="utf-8") == markdown(found)


def test_what_is_missed_has_its_reason() -> None:
    for one in verdicts(read_targets(), read_all(RESULTS)):
        assert one.is_reached or one.target.limited_by
