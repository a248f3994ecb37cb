"""Path patterns of a runtime file.

``*`` and ``?`` stay inside a path segment, ``**`` crosses them. A pattern that
matches a directory matches everything below it. The last pattern that matches
decides, and ``!pattern`` takes back what an earlier one chose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PIECE = re.compile(r"\*\*/?|\*|\?|[^*?]+")


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a path is chosen by `patterns`."""
    rules = [(not text.startswith("!"), _compile(text.lstrip("!"))) for text in patterns]

    def chosen(path: str) -> bool:
        for answer, rule in reversed(rules):
            if rule.fullmatch(path):
                return answer
        return False

    return chosen


def _compile(pattern: str) -> re.Pattern[str]:
    body = "".join(_translate(piece) for piece in _PIECE.findall(pattern.strip("/")))
    return re.compile(f"{body}(?:/.*)?", re.DOTALL)


def _translate(piece: str) -> str:
    return _WILD.get(piece) or re.escape(piece)
