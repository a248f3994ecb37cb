"""From the pull to the first good answer, in its parts, over links of different speeds."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.plots.style import (
    LIMIT,
    OURS,
    OURS_TOO,
    QUIET,
    Picture,
    bare,
    new_figure,
)
from benchmarks.plots.words import in_order, listed, method_name, number
from benchmarks.records import Results
from benchmarks.tables import workload_title

LINKS = ("100 Mbit/s", "1 Gbit/s")
_ENGINES = ("docker", "containerd", "podman")
_REFERENCE, _OURS = "best", "safe"
# Part -> its colour. The first answer counts from the start of the container.
_PARTS = {"pull and unpack": OURS, "create": QUIET, "first answer": OURS_TOO}

Parts = dict[str, float]
"""Part -> seconds."""


def starts(results: Results) -> list[tuple[Picture, Figure]]:
    """Draw a picture for each workload, with the engine that most people use."""
    workloads = dict.fromkeys(record.workload for record in results.find(metric="pull"))
    made = []
    for workload in workloads:
        for engine in _ENGINES:
            found = _found(results, workload, engine)
            if found:
                made.append(_picture(workload, engine, found))
                break
    return made


def _found(
    results: Results, workload: str, engine: str
) -> dict[str, dict[str, tuple[Parts, float | None]]]:
    """Return link -> method -> the parts, and the limit of the whole."""
    found: dict[str, dict[str, tuple[Parts, float | None]]] = {}
    for link in LINKS:
        case = f"{engine}, {link}"
        for record in results.find(workload=workload, metric="pull", case=case):
            seconds = [
                results.value(workload, record.method, metric, case)
                for metric in ("pull", "create", "first-answer")
            ]
            known = [value for value in seconds if value is not None]
            if len(known) == len(seconds):
                parts = dict(zip(_PARTS, known, strict=True))
                whole = results.find(
                    workload=workload, method=record.method, metric="cold-start", case=case
                )
                limit = whole[0].limit if whole else None
                found.setdefault(link, {})[record.method] = parts, limit
    return found


def _picture(
    workload: str, engine: str, found: Mapping[str, Mapping[str, tuple[Parts, float | None]]]
) -> tuple[Picture, Figure]:
    picture = Picture(f"start-{workload}", _title(workload, found), _alt(workload, engine, found))
    rows = max(len(of) for of in found.values())
    figure = new_figure(picture.title, 1.5 + rows * 0.4)
    for axes, (link, methods) in zip(
        figure.subplots(1, len(found), squeeze=False).flat, found.items(), strict=True
    ):
        _panel(axes, methods)
        axes.set_title(f"{link}, {engine}, page cache empty", fontsize=9)
    limits = (limit for methods in found.values() for _, limit in methods.values())
    _legend(figure, limited=any(limits))
    return picture, figure


def _panel(axes: Axes, methods: Mapping[str, tuple[Parts, float | None]]) -> None:
    names = in_order(methods)
    for row, name in enumerate(names):
        parts, limit = methods[name]
        left = 0.0
        for part, seconds in parts.items():
            axes.barh(row, seconds, left=left, height=0.6, color=_PARTS[part])
            left += seconds
        axes.text(left, row, f" {number(left)}", va="center", fontsize=8)
        if limit:
            axes.plot([limit, limit], [row - 0.4, row + 0.4], color=LIMIT, linewidth=2)
    longest = max(sum(parts.values()) for parts, _ in methods.values())
    axes.set_xlim(0, 1.15 * longest)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [method_name(name) for name in names], fontsize=8)
    axes.set_xlabel("seconds", fontsize=8)
    bare(axes)


def _legend(figure: Figure, *, limited: bool) -> None:
    handles: list[Artist] = [Patch(color=ink, label=part) for part, ink in _PARTS.items()]
    if limited:
        handles.append(Line2D([], [], color=LIMIT, linewidth=2, label="link's rate and imports"))
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=8)


def _title(workload: str, found: Mapping[str, Mapping[str, tuple[Parts, float | None]]]) -> str:
    times = [
        f"{_sum(of[_REFERENCE]) / _sum(of[_OURS]):.1f} times as fast at {link}"
        for link, of in found.items()
        if _OURS in of and _REFERENCE in of
    ]
    if not times:
        return f"{workload_title(workload)}: from the pull to the first answer"
    return f"{workload.upper()}: slimpack answers {listed(times)}"


def _sum(measured: tuple[Parts, float | None]) -> float:
    return sum(measured[0].values())


def _alt(
    workload: str, engine: str, found: Mapping[str, Mapping[str, tuple[Parts, float | None]]]
) -> str:
    told = []
    for link, methods in found.items():
        for name in in_order(methods):
            parts = ", ".join(
                f"{part} {number(seconds)}" for part, seconds in methods[name][0].items()
            )
            told.append(f"{link}, {method_name(name, 99)}: {parts}")
    return (
        f"Stacked bars of the seconds from pull to first answer with {engine}, "
        f"{workload_title(workload)}. {'; '.join(told)}."
    )
