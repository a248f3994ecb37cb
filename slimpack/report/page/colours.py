"""Colours, of which tests compute the contrast (WCAG 2.1, 1.4.3 and 1.4.11).

Those of kinds carry white text and lie on the page of either scheme, so all have the
one luminance (0.155) at which both can be told from them; only the hue differs. What
they say is always written beside them too.
"""

from __future__ import annotations

from slimpack.slim.kinds import KINDS

KIND_COLOURS = {
    "library": "#336fb8",
    "program": "#6a63b9",
    "Python source": "#2a7d43",
    "bytecode": "#077a7b",
    "tests": "#ba493a",
    "headers": "#9654a5",
    "static library": "#aa4c86",
    "documentation": "#89691b",
    "translations": "#70712e",
    "time zones": "#966236",
    "type stubs": "#587735",
    "metadata": "#676e7a",
    "certificates": "#007892",
    "data": "#856948",
}
OTHER = "#676e7a"
"""For what is of several kinds."""

ON_KIND = "#ffffff"

LIGHT = {
    "page": "#f6f7f9",
    "panel": "#ffffff",
    "line": "#d5d9e0",
    "edge": "#7c8594",
    "text": "#1b1f27",
    "soft": "#555d6b",
    "link": "#1f5fae",
    "focus": "#1b1f27",
    "good": "#1d7038",
    "bad": "#b3261e",
    "warn": "#8a5a00",
}
DARK = {
    "page": "#101318",
    "panel": "#181c23",
    "line": "#333a46",
    "edge": "#7f8999",
    "text": "#e8eaee",
    "soft": "#a7afbd",
    "link": "#8ab8f5",
    "focus": "#ffffff",
    "good": "#74cf8f",
    "bad": "#ff9a90",
    "warn": "#f0c068",
}


def kind_class(kind: str) -> str:
    """Return the style class of a kind."""
    return f"k{KINDS.index(kind)}" if kind in KINDS else "kx"


def style() -> str:
    """Return the colours as CSS: variables for both schemes, a class for each kind."""
    classes = [f".k{KINDS.index(kind)}{{--c:{colour}}}" for kind, colour in KIND_COLOURS.items()]
    return "\n".join(
        [
            f":root{{color-scheme:light dark;--on-kind:{ON_KIND};{_variables(LIGHT)}}}",
            f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}",
            # Paper is white, whatever the screen is.
            f"@media print{{:root{{{_variables(LIGHT)}}}}}",
            f".kx{{--c:{OTHER}}}",
            *classes,
        ]
    )


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())
