"""Compressed size by workload and method, with what the workload touches as the lower bound."""

from __future__ import annotations

import math
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plots.style import LIMIT, Picture, bare, colour, new_figure
from benchmarks.plots.words import in_order, method_name, number, ratio, workloads_in_order
from benchmarks.records import Record, Results
from benchmarks.tables import workload_title

_COLUMNS = 2
_REFERENCE, _OURS = "best", "safe"
_BAR = 0.27  # inches
_TITLE = 38  # letters of a panel's title on one line


def sizes(results: Results) -> tuple[Picture, Figure] | None:
    """Draw a panel for each workload; None where no sizes were measured."""
    found: dict[str, dict[str, Record]] = {}
    for record in results.find(metric="compressed", case=""):
        if record.at is None:
            found.setdefault(record.workload, {})[record.method] = record
    if not found:
        return None
    found = {name: found[name] for name in workloads_in_order(found)}
    picture = Picture("sizes", _title(found), _alt(found))
    rows = math.ceil(len(found) / _COLUMNS)
    most = max(len(of) for of in found.values())
    figure = new_figure(picture.title, 0.6 + rows * (0.85 + most * _BAR))
    panels = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes, (workload, records) in zip(panels, found.items(), strict=False):
        _panel(axes, workload, records)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    return picture, figure


def _panel(axes: Axes, workload: str, records: dict[str, Record]) -> None:
    names = in_order(records)
    for row, name in enumerate(names):
        value = records[name].median / 1e6
        axes.barh(row, value, height=0.72, color=colour(name))
        axes.text(value, row, f" {number(value)}", va="center", fontsize=8)
    bounds = [record.limit / 1e6 for record in records.values() if record.limit]
    if bounds:
        bound = min(bounds)
        axes.axvline(bound, color=LIMIT, linestyle="--", linewidth=1.2)
        axes.annotate(
            f"touched by the workload: {number(bound)}",
            (bound, -0.95),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=LIMIT,
        )
    axes.set_yticks(range(len(names)), [method_name(name, 24) for name in names], fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -1.4)
    axes.set_xlim(0, 1.15 * max(record.median for record in records.values()) / 1e6)
    axes.set_title(fill(workload_title(workload), _TITLE), fontsize=9)
    axes.set_xlabel("MB, compressed", fontsize=8)
    bare(axes)


def _title(found: dict[str, dict[str, Record]]) -> str:
    ratios = [
        of[_OURS].median / of[_REFERENCE].median
        for of in found.values()
        if _OURS in of and _REFERENCE in of
    ]
    if not ratios:
        return "Compressed size of the images"
    return f"slimpack safe has {ratio(ratios)} the compressed bytes of the best practice"


def _alt(found: dict[str, dict[str, Record]]) -> str:
    parts = []
    for workload, records in found.items():
        values = ", ".join(
            f"{method_name(name, 99)} {number(records[name].median / 1e6)}"
            for name in in_order(records)
        )
        parts.append(f"{workload_title(workload)}: {values}")
    return f"Bars of compressed sizes in MB. {'; '.join(parts)}."
