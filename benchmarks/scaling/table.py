"""The page of the part ``scale``: what each size costs, and how fast that grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.catalogue import metrics
from benchmarks.records import Record, Results
from benchmarks.scaling.points import DIMENSIONS
from benchmarks.scaling.slopes import slope
from benchmarks.tables import facts, head, method_title, row, shown

_COSTS = ("build", "cpu", "memory", "compressed", "stored")
_LEAST_STAGE = 0.5  # seconds at the largest size: what takes less is noise


def markdown(results: Results) -> str:
    """Return the page."""
    return "\n".join([*_page(results), ""])


def _page(results: Results) -> Iterator[str]:
    for name, dimension in DIMENSIONS.items():
        records = results.find(workload=name)
        if not records:
            continue
        yield f"## {dimension.title[0].upper()}{dimension.title[1:]}"
        yield ""
        yield from _curves(records, _COSTS)
        stages = [record for record in records if record.metric == "stage"]
        if stages:
            yield ""
            yield "Stages that take half a second or more at the largest size:"
            yield ""
            yield from _curves(stages, ("stage",), least=_LEAST_STAGE)
        yield ""
    yield (
        "Slope is the exponent of a power law, by least squares in a log-log plot: 1 is "
        "proportional, 0 flat, above 1 superlinear; what is the same for all sizes lowers it. The "
        "last slope is that between the two largest. CPU is of all processes, memory the peak of "
        "the largest one. Ratios are to the limit at the largest size."
    )
    yield from facts(results)


def _curves(
    records: Sequence[Record], wanted: Sequence[str], *, least: float = 0.0
) -> Iterator[str]:
    """Yield a table with a line for each curve and a column for each size."""
    curves: dict[tuple[str, str, str], dict[float, Record]] = {}
    for record in records:
        if record.metric in wanted and record.at is not None:
            place = (record.metric, record.method, record.case)
            curves.setdefault(place, {})[record.at] = record
    curves = {place: curve for place, curve in curves.items() if curve[max(curve)].median >= least}
    points = sorted({at for curve in curves.values() for at in curve})
    numbers = [*(f"{point:g}" for point in points), "slope", "last slope", "to the limit"]
    yield from head(("", "method", "case"), numbers)
    for (metric, method, case), curve in sorted(
        curves.items(), key=lambda item: wanted.index(item[0][0])
    ):
        known = metrics()[metric]
        unit = {"bytes": ", MB", "s": ", s", "count": ""}[known.unit]
        values = [shown(curve[at].median, known.unit) if at in curve else "" for at in points]
        found = slope([(at, record.median) for at, record in curve.items()])
        slopes = (f"{found.whole:.2f}", f"{found.last:.2f}") if found else ("", "")
        ratio = curve[max(curve)].to_limit
        limit = "" if ratio is None else f"{ratio:.2f}"
        yield row((f"{known.title}{unit}", method_title(method), case, *values, *slopes, limit))
