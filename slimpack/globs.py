"""Path patterns, of runtime files and of slimming rules.

``*`` and ``?`` stay inside a path segment, ``**`` crosses them. A pattern that
matches a directory matches everything below it. The last pattern that matches
decides, and ``!pattern`` takes back what an earlier one chose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import groupby

_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PIECE = re.compile(r"\*\*/?|\*|\?|[^*?]+")


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a path is chosen by `patterns`."""
    # Neighbours of one kind are one expression: rules are asked for every file there is.
    runs = [
        (wanted, _compile(text.lstrip("!") for text in run))
        for wanted, run in groupby(patterns, key=lambda text: not text.startswith("!"))
    ][::-1]

    def chosen(path: str) -> bool:
        for answer, rule in runs:
            if rule.fullmatch(path):
                return answer
        return False

    return chosen


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    bodies = (
        "".join(_translate(piece) for piece in _PIECE.findall(pattern.strip("/")))
        for pattern in patterns
    )
    return re.compile(f"(?:{'|'.join(bodies)})(?:/.*)?", re.DOTALL)


def _translate(piece: str) -> str:
    return _WILD.get(piece) or re.escape(piece)
