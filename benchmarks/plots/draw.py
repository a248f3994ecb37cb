"""Every picture that results allow, drawn into one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.plots.growth import growth
from benchmarks.plots.lazy import lazy
from benchmarks.plots.rebuilds import rebuilds
from benchmarks.plots.sizes import sizes
from benchmarks.plots.starts import starts
from benchmarks.plots.style import Picture, save, styled
from benchmarks.records import Results, read_all

Drawn = tuple[Picture, Figure]


def _sizes(results: Results) -> list[Drawn]:
    drawn = sizes(results)
    return [drawn] if drawn else []


_DRAWERS: Mapping[str, Callable[[Results], list[Drawn]]] = {
    "images": _sizes,
    "builds": rebuilds,
    "start": starts,
    "lazy": lazy,
    "scale": growth,
}


def draw_all(results: Path, pictures: Path) -> tuple[Picture, ...]:
    """Draw what the results of a folder allow; return what was written, in order.

    Raises InputError when there are no results.
    """
    return draw(read_all(results), pictures)


def draw(parts: Mapping[str, Results], pictures: Path) -> tuple[Picture, ...]:
    """Draw what some parts allow into a folder."""
    with styled():
        drawn = list(_drawn(parts))
        for picture, figure in drawn:
            save(figure, picture, pictures)
    return tuple(picture for picture, _ in drawn)


def _drawn(parts: Mapping[str, Results]) -> Iterator[Drawn]:
    for part, drawer in _DRAWERS.items():
        if part in parts:
            yield from drawer(parts[part])
