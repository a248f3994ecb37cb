"""How a cost grows: the exponent of a power law, by least squares in a log-log plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slope:
    """Exponents of cost ~ size ** exponent.

    whole: over all points; below 1 where a part of the cost is the same for all sizes.
    last: between the two largest, which tells what it comes to.
    """

    whole: float
    last: float


def slope(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Return the exponents for (size, cost) points; None for fewer than two sizes or a zero."""
    ordered = sorted(points)
    if len({size for size, _ in ordered}) < 2 or any(min(point) <= 0 for point in ordered):
        return None
    logs = [(math.log(size), math.log(cost)) for size, cost in ordered]
    return Slope(_exponent(logs), _exponent(logs[-2:]))


def _exponent(logs: Sequence[tuple[float, float]]) -> float:
    x_mean = sum(x for x, _ in logs) / len(logs)
    y_mean = sum(y for _, y in logs) / len(logs)
    spread = sum((x - x_mean) ** 2 for x, _ in logs)
    if not spread:  # the two largest are of one size
        return math.nan
    return sum((x - x_mean) * (y - y_mean) for x, y in logs) / spread
