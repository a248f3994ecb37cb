"""Two runs beside each other: what grew, what shrank, and what of it counts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from benchmarks.catalogue import Metric, metrics
from benchmarks.records import Key, Record, Results, all_records
from slimpack.cli.table import table

Verdict = Literal["same", "better", "worse", "new", "gone"]

EXACT = 1.005
"""Ratio from which figures count as changed that are the same on every machine."""
NOISY = 1.25
"""The same for seconds and memory: runs on shared machines differ by less, mostly."""


@dataclass(frozen=True)
class Change:
    """One record in two runs. ratio: new over old; None where one of them is missing or 0."""

    part: str
    key: Key
    old: float | None
    new: float | None
    ratio: float | None
    verdict: Verdict

    def to_json(self) -> dict[str, object]:
        """Return it with its names."""
        return {**asdict(self), "key": list(self.key)}


def changes(
    old: Mapping[str, Results],
    new: Mapping[str, Results],
    *,
    exact: float = EXACT,
    noisy: float = NOISY,
) -> list[Change]:
    """Return every record of both runs, parts of one run alone left out.

    exact, noisy: ratios from which a change counts, for figures that are the same on every
    machine and for others.
    """
    both = old.keys() & new.keys()
    before = all_records(results for part, results in old.items() if part in both)
    after = all_records(results for part, results in new.items() if part in both)
    known = metrics()
    found = []
    for place in sorted(before.keys() | after.keys()):
        metric = known.get(place[1][2])
        limit = exact if metric is not None and metric.exact else noisy
        found.append(_change(place, before.get(place), after.get(place), metric, limit))
    return found


def _change(
    place: tuple[str, Key],
    old: Record | None,
    new: Record | None,
    metric: Metric | None,
    limit: float,
) -> Change:
    before = None if old is None else old.median
    after = None if new is None else new.median
    if before is None or after is None:
        return Change(*place, before, after, None, "new" if before is None else "gone")
    ratio = after / before if before else (1.0 if not after else None)
    grown = math.inf if ratio is None else ratio
    verdict: Verdict = "same"
    if grown > limit or grown < 1 / limit:
        less_is_better = metric is None or metric.better == "less"
        verdict = "worse" if (grown > 1) == less_is_better else "better"
    return Change(*place, before, after, ratio, verdict)


def is_regression(found: Iterable[Change]) -> bool:
    """Tell whether something is worse, or no longer measured."""
    return any(change.verdict in ("worse", "gone") for change in found)


def as_text(found: Iterable[Change], *, everything: bool = False) -> str:
    """Return a table of what changed, the worst first, and a line that counts."""
    listed = list(found)
    shown = [change for change in listed if everything or change.verdict != "same"]
    shown.sort(key=lambda change: (-_weight(change), change.part, change.key))
    counts = {
        verdict: sum(change.verdict == verdict for change in listed)
        for verdict in ("worse", "better", "new", "gone", "same")
    }
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [f"{len(listed)} figures: {words}."]
    if shown:
        header = ("", "part", "workload", "method", "metric", "case", "old", "new", "ratio")
        lines = [table(header, [_row(change) for change in shown], right=(6, 7, 8)), "", *lines]
    return "\n".join(lines)


def as_json(found: Iterable[Change]) -> str:
    """Return all changes for machines."""
    return json.dumps([change.to_json() for change in found], indent=1)


def _weight(change: Change) -> float:
    if change.verdict == "gone":
        return 1e9
    if change.ratio is None:
        return 1e8 if change.verdict == "worse" else 0.0
    size = abs(math.log(change.ratio)) if change.ratio else 1e6
    return size if change.verdict == "worse" else -size


def _row(change: Change) -> tuple[str, ...]:
    workload, method, metric, case, at = change.key
    place = f"{case} {at:g}".strip() if at else case
    cells = (_number(change.old), _number(change.new))
    ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
    return (change.verdict, change.part, workload, method, metric, place, *cells, ratio)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
