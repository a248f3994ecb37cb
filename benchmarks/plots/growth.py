"""How costs grow, on logarithmic axes, where a power law is a line and its slope the exponent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.plots.style import OTHER, OURS, OURS_TOO, QUIET, THEIRS, Picture, new_figure
from benchmarks.plots.words import listed, number
from benchmarks.records import Record, Results
from benchmarks.scaling.points import DIMENSIONS
from benchmarks.scaling.slopes import slope

_LEAST_GAP = 0.045  # between two labels, in heights of the axes


@dataclass(frozen=True)
class Line:
    """A curve. points: (size, cost), in order."""

    label: str
    colour: str
    points: tuple[tuple[float, float], ...]


# Axis title, divisor, and the curves: (method, metric, case) -> label and colour. None: any method.
_Curve = tuple[str | None, str, str, str, str]
_BUILDS: tuple[tuple[str, float, tuple[_Curve, ...]], ...] = (
    (
        "seconds",
        1.0,
        (
            ("safe", "build", "verified", "slimpack, proven", OURS),
            ("safe", "build", "--no-verify", "slimpack --no-verify", OURS_TOO),
            ("conda-pack", "build", "", "conda-pack", OTHER),
            (None, "build", "", "tar | zstd", QUIET),
        ),
    ),
    (
        "peak memory, MB",
        1e6,
        (
            ("safe", "memory", "verified", "slimpack, proven", OURS),
            ("safe", "memory", "--no-verify", "slimpack --no-verify", OURS_TOO),
            ("conda-pack", "memory", "", "conda-pack", OTHER),
            (None, "memory", "", "tar | zstd", QUIET),
        ),
    ),
)
_IMAGES: tuple[tuple[str, float, tuple[_Curve, ...]], ...] = (
    (
        "MB in the registry",
        1e6,
        (
            ("safe", "stored", "", "slimpack", OURS),
            ("alone", "stored", "", "nothing shared", THEIRS),
            ("safe", "compressed", "bundle create", "one bundle", OURS_TOO),
        ),
    ),
    (
        "seconds",
        1.0,
        (
            ("safe", "build", "built and pushed", "built and pushed", OURS),
            ("safe", "build", "bundle create", "bundle create", OURS_TOO),
        ),
    ),
)


def growth(results: Results) -> list[tuple[Picture, Figure]]:
    """Draw a picture for each dimension of which two sizes were measured."""
    made = []
    for name, dimension in DIMENSIONS.items():
        records = results.find(workload=name)
        panels = [
            (title, _lines(records, curves, unit))
            for title, unit, curves in (_BUILDS if dimension.shape else _IMAGES)
        ]
        if all(lines for _, lines in panels):
            made.append(_picture(name, dimension.title, panels))
    return made


def _lines(records: Iterable[Record], curves: Iterable[_Curve], unit: float) -> list[Line]:
    left: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for record in records:
        if record.at is not None:
            place = (record.method, record.metric, record.case)
            left.setdefault(place, []).append((record.at, record.median / unit))
    lines = []
    for method, metric, case, label, colour in curves:
        for place in list(left):
            if place[1:] == (metric, case) and method in (None, place[0]):
                points = sorted(left.pop(place))
                if len(points) > 1:
                    lines.append(Line(label, colour, tuple(points)))
    return lines


def _picture(
    name: str, what: str, panels: Sequence[tuple[str, Sequence[Line]]]
) -> tuple[Picture, Figure]:
    picture = Picture(f"scale-{name}", _title(what, panels), _alt(what, panels))
    figure = new_figure(picture.title, 3.7)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _panel(axes, lines)
        axes.set_title(f"{title}; beside each curve its slope", fontsize=9)
        axes.set_xlabel(f"{what} (both axes logarithmic)", fontsize=8)
    return picture, figure


def _panel(axes: Axes, lines: Sequence[Line]) -> None:
    sizes = sorted({size for line in lines for size, _ in line.points})
    costs = [cost for line in lines for _, cost in line.points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Room at the right for the names of the curves.
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * (sizes[-1] / sizes[0]) ** 0.75)
    axes.set_ylim(min(costs) / 1.6, max(costs) * 1.6)
    for line in lines:
        axes.plot(*zip(*line.points, strict=True), marker="o", markersize=3.5, color=line.colour)
    places = spread([_height(axes, line.points[-1][1]) for line in lines], _LEAST_GAP)
    for line, place in zip(lines, places, strict=True):
        x = _across(axes, line.points[-1][0]) + 0.02
        axes.text(
            x,
            place,
            f"{line.label}: {_exponent(line):.2f}",
            transform=axes.transAxes,
            va="center",
            fontsize=7,
            color=line.colour,
        )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sizes, [f"{size:g}" if size < 1e4 else f"{size:,.0f}" for size in sizes])
    axes.tick_params(axis="x", labelsize=7, labelrotation=30)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major")


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return places for labels, as near to their heights as a gap between them allows."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    places = [heights[index] for index in order]
    for _ in range(200):
        for below, above in zip(range(len(places)), range(1, len(places)), strict=False):
            short = gap - (places[above] - places[below])
            if short > 1e-9:
                places[below] -= short / 2
                places[above] += short / 2
    found = dict(zip(order, places, strict=True))
    return [found[index] for index in range(len(heights))]


def _height(axes: Axes, cost: float) -> float:
    low, high = map(math.log, axes.get_ylim())
    return (math.log(cost) - low) / (high - low)


def _across(axes: Axes, size: float) -> float:
    low, high = map(math.log, axes.get_xlim())
    return (math.log(size) - low) / (high - low)


def _exponent(line: Line) -> float:
    found = slope(line.points)
    return found.whole if found else math.nan


def _title(what: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Say how slimpack's first curve grows in each panel."""
    told: Mapping[str, float] = {title: _exponent(lines[0]) for title, lines in panels}
    grows = [f"{title.split(',')[0]} with exponent {value:.2f}" for title, value in told.items()]
    name = what.split(",")[0]
    return f"{name[0].upper()}{name[1:]}: {listed(grows)}"


def _alt(what: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    parts = [
        f"{title}, {line.label}: "
        + ", ".join(f"{number(cost)} at {size:g}" for size, cost in line.points)
        + f", slope {_exponent(line):.2f}"
        for title, lines in panels
        for line in lines
    ]
    return f"Curves on logarithmic axes over {what}. {'; '.join(parts)}."
