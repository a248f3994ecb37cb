"""Match specs as text, where the solver's own parser is not at hand or too slow.

Source: conda's MatchSpec: ``channel::name``, then a version after a blank, ``=``, ``<``, ``>``,
``!``, ``~`` or in brackets, with or without a blank before it.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"\s*(?:[^\s\[\]=<>!~]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)")


def spec_name(text: str) -> str:
    """Return the name of the package in a match spec, "" for what has none."""
    match = _NAME.match(text)
    return match["name"].lower() if match else ""
