"""Numbers and names as pictures show them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from benchmarks.catalogue import methods
from benchmarks.tables import method_title

SECONDS, MEGABYTES = "s", "MB"


def number(value: float) -> str:
    """Return a value with two or three digits: 0.041, 4.1, 41, 412."""
    if value >= 99.5:
        return f"{value:,.0f}"
    if value >= 9.95:
        return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
    return f"{value:.2g}" if value < 1 or value == int(value) else f"{value:.2f}"


def ratio(values: Sequence[float]) -> str:
    """Return the range of some ratios, as ``0.48 to 0.61 times``."""
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    return f"{low} times" if low == high else f"{low} to {high} times"


def method_name(name: str, width: int = 22) -> str:
    """Return a method's title in short lines."""
    return "\n".join(textwrap.wrap(method_title(name), width))


def in_order(names: Iterable[str]) -> list[str]:
    """Return methods in the order of their file, others after them."""
    known = list(methods())
    given = set(names)
    return [*(name for name in known if name in given), *sorted(given - set(known))]


def listed(items: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
