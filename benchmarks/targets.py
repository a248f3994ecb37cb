"""Targets, as data in ``benchmarks/targets.toml``: which are reached, and what limits the others.

A target is a ratio to the best practice, measured in the same run, or a limit in the metric's
unit that no workload for CPUs may reach. What was not measured is told as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from benchmarks.catalogue import methods, metrics, workloads
from benchmarks.parts import PARTS
from benchmarks.records import Results
from benchmarks.tables import head, method_title, row, shown, workload_title
from slimpack.toml import Table, read_toml

FILE = Path(__file__).with_name("targets.toml")
PAGE = "targets.md"
REFERENCE = "best"
_HEAD = """\
What slimpack was to reach beside conda-pack in a multi-stage Dockerfile, and what it did, from the
results beside this page: ratios of medians of one run, slimpack's to the other's. The targets are
data ([targets.toml](../targets.toml)); this page is written by `python -m benchmarks report`.
"""


@dataclass(frozen=True)
class Target:
    """What is to be reached. workload: "" for all that need no GPU.

    at_most: the ratio of the method's value to the reference's; None where `below`, in the
    metric's unit, counts. limited_by: why it is missed, for the reader.
    """

    title: str
    part: str
    workload: str
    metric: str
    case: str
    method: str
    at_most: Fraction | None
    below: int | None
    limited_by: str


@dataclass(frozen=True)
class Verdict:
    """What came of a target. workload: the one that it is about, or the worst of all.

    value: the median in the metric's unit, reference: the best practice's; None where one
    was not measured, or, of all workloads, not everywhere.
    """

    target: Target
    workload: str
    value: float | None
    reference: float | None

    @property
    def ratio(self) -> float | None:
        """The value to the reference's; None where one is missing."""
        return self.value / self.reference if self.value and self.reference else None

    @property
    def is_reached(self) -> bool | None:
        """Tell whether the target is reached; None where it was not measured."""
        if self.target.at_most is not None:
            return None if self.ratio is None else self.ratio <= self.target.at_most
        return None if self.value is None else self.value < (self.target.below or 0)


def read_targets(file: Path = FILE) -> tuple[Target, ...]:
    """Read the targets; InputError for a file that is not as it should be."""
    top = Table(read_toml(file), file.name, "")
    found = tuple(_target(table) for table in top.tables("target"))
    top.finish()
    return found


def _target(table: Table) -> Target:
    ratio = table.string("at_most")
    below = table.optional_integer("below", minimum=1, maximum=1 << 62)
    if bool(ratio) == (below is not None):
        table.fail("at_most", "a target has either this or below")
    workload = table.string("workload")
    if workload:
        workload = table.choice("workload", tuple(workloads()), workload)
    found = Target(
        title=table.string("title"),
        part=table.choice("part", tuple(PARTS), ""),
        workload=workload,
        metric=table.choice("metric", tuple(metrics()), ""),
        case=table.string("case"),
        method=table.choice("method", tuple(methods()), ""),
        at_most=_fraction(table, ratio) if ratio else None,
        below=below,
        limited_by=table.string("limited_by"),
    )
    table.finish()
    return found


def _fraction(table: Table, text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        table.fail("at_most", f'expected a fraction, such as "1/3" or "0.52", got {text!r}')


def verdicts(targets: Iterable[Target], parts: Mapping[str, Results]) -> Iterator[Verdict]:
    """Yield what came of each target. parts: their results, by name."""
    for target in targets:
        results = parts.get(target.part, Results(target.part))
        found = [
            Verdict(
                target,
                workload,
                results.value(workload, target.method, target.metric, target.case),
                results.value(workload, REFERENCE, target.metric, target.case),
            )
            for workload in ((target.workload,) if target.workload else workloads())
        ]
        unknown = [one for one in found if one.value is None]
        yield unknown[0] if unknown else max(found, key=lambda one: one.value or 0.0)


def markdown(found: Iterable[Verdict]) -> str:
    """Return the page."""
    titles = head(("target", "workload", "method", ""), ("asked", "measured"))
    return "\n".join((_HEAD, *titles, *map(_line, found))) + "\n"


def _line(verdict: Verdict) -> str:
    target = verdict.target
    words = {None: "not measured", True: "reached", False: "**missed**"}[verdict.is_reached]
    if verdict.is_reached is False and target.limited_by:
        words += f": {target.limited_by}"
    name = workload_title(verdict.workload)
    title = f"{target.title} ({target.case})" if target.part == "start" else target.title
    return row((title, name, method_title(target.method), words, *_figures(verdict)))


def _figures(verdict: Verdict) -> tuple[str, str]:
    """Return what was asked and what was measured."""
    target = verdict.target
    if target.at_most is not None:
        measured = "" if verdict.ratio is None else f"{verdict.ratio:.3f}"
        return f"{float(target.at_most):.3f}", measured
    metric = metrics()[target.metric]
    unit = " MB" if metric.unit == "bytes" else ""
    value = "" if verdict.value is None else f"{shown(verdict.value, metric.unit)}{unit}"
    return f"< {shown(float(target.below or 0), metric.unit)}{unit}", value
