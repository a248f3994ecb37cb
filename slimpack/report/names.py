"""Foreign text and sizes, fit to be shown."""

from __future__ import annotations

MAX_NAME = 100
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def clean(text: str, limit: int = MAX_NAME) -> str:
    """Return text of an image on one line, at most `limit` characters.

    What cannot be seen (control, bidirectional and zero-width characters, lone
    surrogates) becomes U+FFFD, so that no name can pose as another or rearrange a page.
    """
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(
        character
        if character.isprintable()
        else " "
        if character.isspace()
        else "\N{REPLACEMENT CHARACTER}"
        for character in cut
    )


def amount(size: int) -> str:
    """Return bytes for people, in powers of 1000: ``0 B``, ``12.3 kB``, ``1.2 GB``."""
    value, unit = float(abs(size)), 0
    while value >= 999.95 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    sign = "\N{MINUS SIGN}" if size < 0 else ""
    return f"{sign}{value:.1f} {_UNITS[unit]}" if unit else f"{sign}{abs(size)} B"


def change(size: int) -> str:
    """Return a difference in bytes, with its sign."""
    return f"+{amount(size)}" if size > 0 else amount(size)


def share(part: int, whole: int) -> str:
    """Return a part of a whole in percent: ``12.3 %``, ``<0.1 %``."""
    if not part or not whole:
        return "0 %"
    value = 100 * part / whole
    return "<0.1 %" if value < 0.1 else f"{value:.1f} %"


def number(value: int) -> str:
    """Return a number with thin groups of three: ``12,345``."""
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """Return a number and what it counts: ``1 file``, ``2,000 files``."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"
