"""Lazy formats beside a plain pull: time to the first answer, and bytes fetched until then."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plots.style import OTHER, OURS, OURS_TOO, QUIET, Picture, bare, new_figure
from benchmarks.plots.words import method_name, number
from benchmarks.records import Results
from benchmarks.tables import workload_title

_COSTS = {"cold-start": ("seconds to the first answer", 1.0), "fetched": ("MB fetched", 1e6)}
_COLOURS = (QUIET, OURS, OTHER, OURS_TOO)
_BAR = 0.25  # inches

Values = dict[str, dict[str, dict[str, float]]]
"""Metric -> case -> method -> median, in the axis's unit."""


def lazy(results: Results) -> list[tuple[Picture, Figure]]:
    """Draw a picture for each workload."""
    found: dict[str, Values] = {}
    for metric, (_, unit) in _COSTS.items():
        for record in results.find(metric=metric):
            of = found.setdefault(record.workload, {}).setdefault(metric, {})
            of.setdefault(record.case, {})[record.method] = record.median / unit
    return [
        _picture(workload, values) for workload, values in found.items() if "cold-start" in values
    ]


def _picture(workload: str, values: Values) -> tuple[Picture, Figure]:
    methods = list(dict.fromkeys(m for of in values.values() for case in of.values() for m in case))
    picture = Picture(f"lazy-{workload}", _title(workload, values), _alt(workload, values))
    rows = sum(len(of) + 1 for of in values["cold-start"].values())
    figure = new_figure(picture.title, 1.0 + rows * _BAR)
    panels = figure.subplots(1, len(values), squeeze=False).flat
    for axes, (metric, cases) in zip(panels, values.items(), strict=True):
        _panel(axes, cases, methods)
        axes.set_title(_COSTS[metric][0], fontsize=9)
    return picture, figure


def _panel(axes: Axes, cases: dict[str, dict[str, float]], methods: Sequence[str]) -> None:
    """Draw a group of bars for each case, its name above them."""
    row, ticks, names = 0, [], []
    for case, of in cases.items():
        axes.annotate(
            case, (0, row), xytext=(2, 0), textcoords="offset points", va="center", fontsize=8
        )
        row += 1
        for method, value in of.items():
            place = methods.index(method)
            axes.barh(row, value, height=0.75, color=_COLOURS[place % len(_COLOURS)])
            axes.text(value, row, f" {number(value)}", va="center", fontsize=8)
            ticks.append(row)
            names.append(method_name(method, 30))
            row += 1
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_ylim(row - 0.4, -0.6)
    axes.set_xlim(0, 1.18 * max(value for of in cases.values() for value in of.values()))
    bare(axes)


def _title(workload: str, values: Values) -> str:
    """Count the lazy starts that win over the fastest plain pull of their case."""
    won = tried = 0
    for of in values["cold-start"].values():
        plain = [seconds for method, seconds in of.items() if not _is_lazy(method)]
        lazily = [seconds for method, seconds in of.items() if _is_lazy(method)]
        tried += len(lazily) if plain else 0
        won += sum(seconds < min(plain) for seconds in lazily) if plain else 0
    what = "lazy start is" if tried == 1 else "lazy starts are"
    return f"{workload.upper()}: {won} of {tried} {what} faster than the plain pull"


def _is_lazy(method: str) -> bool:
    return any(name in method for name in ("estargz", "stargz", "chunked"))


def _alt(workload: str, values: Values) -> str:
    parts = [
        f"{_COSTS[metric][0]}, {case}, {method_name(method, 99)}: {number(value)}"
        for metric, cases in values.items()
        for case, of in cases.items()
        for method, value in of.items()
    ]
    return f"Bars for lazy and plain starts, {workload_title(workload)}. {'; '.join(parts)}."
