"""Squarified treemaps: rectangles whose areas are sizes.

Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): rows of rectangles are laid
along the shorter side of what is left, each as long as it makes its rectangles squarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle, in the unit of the area that was given."""

    left: float
    top: float
    width: float
    height: float


def squarify(sizes: Sequence[int], width: float, height: float) -> list[Box]:
    """Return a box for each size, in their order; together they fill `width` x `height`.

    sizes: not negative, best given biggest first; a size of 0 gives an empty box.
    """
    total = sum(sizes)
    if not total:
        return [Box(0, 0, 0, 0) for _ in sizes]
    areas = [size / total * width * height for size in sizes]
    boxes: list[Box] = []
    left, top, right, bottom = 0.0, 0.0, width, height
    start = 0
    while start < len(areas):
        side = min(right - left, bottom - top)
        end = _row_end(areas, start, side)
        row = areas[start:end]
        filled = sum(row)
        across = right - left >= bottom - top  # the row is a column at the left
        thick = min(filled / side, right - left if across else bottom - top) if side > 0 else 0.0
        at = 0.0
        for area in row:
            long = side * (area / filled) if filled else 0.0
            if across:
                boxes.append(Box(left, top + at, thick, long))
            else:
                boxes.append(Box(left + at, top, long, thick))
            at += long
        if across:
            left += thick
        else:
            top += thick
        start = end
    return boxes


def _row_end(areas: Sequence[float], start: int, side: float) -> int:
    """Return where the row that begins at `start` ends: where one more makes it less square."""
    end, filled, smallest, biggest = start, 0.0, float("inf"), 0.0
    best = float("inf")
    while end < len(areas):
        filled += areas[end]
        smallest, biggest = min(smallest, areas[end]), max(biggest, areas[end])
        worst = _worst(filled, smallest, biggest, side)
        if end > start and worst > best:
            break
        best = worst
        end += 1
    return end


def _worst(filled: float, smallest: float, biggest: float, side: float) -> float:
    if not smallest or not side:
        return float("inf")
    return max(
        side * side * biggest / (filled * filled), filled * filled / (side * side * smallest)
    )
