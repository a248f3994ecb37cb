"""Numbers and names as pictures show them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from benchmarks.catalogue import methods, workload_names
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
    return _by(methods(), names)


def workloads_in_order(names: Iterable[str]) -> list[str]:
    """Return workloads in their order, those for GPUs last, and what is none after them."""
    return _by(workload_names(), names)


def _by(known: Iterable[str], names: Iterable[str]) -> list[str]:
    places = {name: place for place, name in enumerate(known)}
    return sorted(set(names), key=lambda name: (places.get(name, len(places)), name))


def listed(items: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
