"""What a change costs: seconds, and bytes that are sent again, on logarithmic axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.building.making import CASES
from benchmarks.plots.style import Picture, bare, colour, new_figure
from benchmarks.plots.words import in_order, method_name, number
from benchmarks.records import Results
from benchmarks.tables import workload_title

_COSTS = {"total": ("seconds", 1.0), "sent": ("MB sent to the registry", 1e6)}
_METHODS = ("naive", "best", "safe", "unverified", "locked-unverified")
_REFERENCE, _OURS = "best", "safe"
_CHANGE = "one pure package changed"
_MARKERS = dict(zip(_METHODS, "sDo^v", strict=True))

Values = dict[tuple[str, str, str], float]
"""(metric, case, method) -> median, in the axis's unit."""


def rebuilds(results: Results) -> list[tuple[Picture, Figure]]:
    """Draw a picture for each workload whose rebuilds were measured."""
    found: dict[str, Values] = {}
    for metric, (_, unit) in _COSTS.items():
        for record in results.find(metric=metric):
            if record.method in _METHODS and record.at is None:
                place = (metric, record.case, record.method)
                found.setdefault(record.workload, {})[place] = record.median / unit
    return [_picture(workload, values) for workload, values in found.items()]


def _picture(workload: str, values: Values) -> tuple[Picture, Figure]:
    cases = sorted({case for _, case, _ in values}, key=CASES.index)  # results are merged anyhow
    picture = Picture(f"rebuild-{workload}", _title(workload, values), _alt(workload, values))
    figure = new_figure(picture.title, 1.9 + 0.45 * len(cases))
    shared = figure.subplots(1, len(_COSTS), sharey=True, squeeze=False).flat
    for axes, metric in zip(shared, _COSTS, strict=True):
        _panel(axes, metric, cases, values)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    return picture, figure


def _panel(axes: Axes, metric: str, cases: list[str], values: Values) -> None:
    of = {place[1:]: value for place, value in values.items() if place[0] == metric}
    above = [value for value in of.values() if value > 0]
    nothing = min(above, default=1.0) / 5  # where a logarithmic axis has no zero
    for method in in_order({name for _, name in of}):
        rows = [row for row, case in enumerate(cases) if (case, method) in of]
        points = [of[cases[row], method] or nothing for row in rows]
        axes.plot(
            points,
            rows,
            linestyle="none",
            marker=_MARKERS[method],
            markersize=7,
            color=colour(method),
            label=method_name(method, 99),
        )
    zeros = {cases.index(case) for (case, _), value in of.items() if not value}
    for row in zeros:
        axes.annotate(
            "0",
            (nothing, row),
            xytext=(0, -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_xlabel(f"{_COSTS[metric][0]} (logarithmic)", fontsize=8)
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.set_ylim(len(cases) - 0.4, -0.6)
    bare(axes)
    axes.grid(axis="y", linestyle=":")


def _title(workload: str, values: Values) -> str:
    def times(metric: str) -> float | None:
        ours = values.get((metric, _CHANGE, _OURS))
        theirs = values.get((metric, _CHANGE, _REFERENCE))
        return theirs / ours if ours and theirs else None

    seconds, sent = times("total"), times("sent")
    if seconds is None or sent is None:
        return f"{workload_title(workload)}: what a change costs"
    return (
        f"{workload.upper()}, one package changed: {number(seconds)} times as fast as the best "
        f"practice, and the bytes to send are {number(sent)} times fewer"
    )


def _alt(workload: str, values: Values) -> str:
    parts = [
        f"{case}, {method_name(method, 99)}: {number(value)} {'s' if metric == 'total' else 'MB'}"
        for (metric, case, method), value in values.items()
    ]
    return f"Dots of seconds and of MB sent, {workload_title(workload)}. {'; '.join(parts)}."
