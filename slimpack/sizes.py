"""Sizes and growth as people write them: ``200 MB``, ``1.5 GiB``, ``5 %``.

Decimal units are powers of 1000, binary ones (KiB, MiB, ...) powers of 1024: IEC 80000-13.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_NUMBER = r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)"
_SIZE = re.compile(rf"{_NUMBER} ?(?P<unit>[A-Za-z]*)")
_PERCENT = re.compile(rf"{_NUMBER} ?%")


@dataclass(frozen=True)
class Growth:
    """How much something may grow: by a part of what it was, or by bytes.

    text: as it was written. part: 1/20 for "5 %", None for `size`, in bytes.
    """

    text: str
    part: Fraction | None = None
    size: int = 0

    def allowed(self, before: int) -> int:
        """Return the bytes that something of `before` bytes may grow by."""
        return self.size if self.part is None else int(before * self.part)


def parse_size(text: str) -> int:
    """Return bytes; ValueError, which says what was expected, for what is no size.

    The unit must be there and spelt right: "200 mb" could be meant as bits or as MiB.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a size such as '200 MB' or '1.5 GiB', got {text!r}")
    unit = match["unit"]
    if unit not in _UNITS:
        near = next((name for name in _UNITS if name.lower() == unit.lower()), "")
        meant = f"did you mean {near!r}?" if near else f"use one of {', '.join(_UNITS)}"
        raise ValueError(
            f"{text!r} has the unknown unit {unit!r}; {meant}"
            if unit
            else f"{text!r} has no unit; use one of {', '.join(_UNITS)}"
        )
    size = Fraction(match["number"]) * _UNITS[unit]
    if unit == "B" and size.denominator != 1:
        raise ValueError(f"{text!r}: there are no parts of bytes")
    return int(size)


def parse_growth(text: str) -> Growth:
    """Return a growth written as ``5 %`` or as a size; ValueError for anything else."""
    if match := _PERCENT.fullmatch(text):
        return Growth(text, Fraction(match["number"]) / 100)
    try:
        return Growth(text, size=parse_size(text))
    except ValueError as error:
        raise ValueError(f"{error} (or a part, such as '5 %')") from None
