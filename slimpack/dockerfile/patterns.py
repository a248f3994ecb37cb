"""Path patterns as expressions of GNU find, and as lines of a .dockerignore.

What is ignored is removed in the builder, by find, exactly as slimpack ignores it (`git
help gitignore`, 'PATTERN FORMAT'; `slimpack.globs`). The .dockerignore only spares BuildKit the
reading: what it cannot express without doubt is left out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

_ERE = re.compile(r"[].^$*+?(){}|\\[]")
_GLOB = re.compile(r"\*\*/?|\*|\?|[^*?]+")
_GLOB_ERE = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Term:
    """One pattern: a POSIX extended regular expression of the whole path below a folder.

    wanted: whether it chooses paths, or takes them back. folders: whether it means only those.
    """

    regex: str
    wanted: bool = True
    folders: bool = False


def glob_terms(patterns: Iterable[str]) -> list[Term]:
    """Return the patterns of `slimpack.globs` as terms."""
    terms = []
    for pattern in patterns:
        pieces = _GLOB.findall(pattern.lstrip("!").strip("/"))
        body = "".join(_GLOB_ERE.get(piece) or _escaped(piece) for piece in pieces)
        terms.append(Term(f"{body}(/.*)?", wanted=not pattern.startswith("!")))
    return terms


def ignore_terms(patterns: Iterable[str]) -> list[Term]:
    """Return the patterns of a .gitignore as terms; what is no pattern is left out."""
    return [term for term in map(_ignore_term, patterns) if term]


def _ignore_term(line: str) -> Term | None:
    pattern = re.sub(r"(?<!\\)((?:\\\\)*)[ \t]+\Z", r"\1", line)
    if not pattern or pattern.startswith("#"):
        return None
    wanted = not pattern.startswith("!")
    pattern = pattern if wanted else pattern[1:]
    folders = pattern.endswith("/")
    inner = pattern.rstrip("/") if folders else pattern
    if not inner:
        return None
    anchored = "/" in inner
    parts = inner.lstrip("/").split("/")
    return Term(_joined(parts, anchored=anchored), wanted, folders)


def _joined(parts: Sequence[str], *, anchored: bool) -> str:
    """Return the expression of a path's segments, of which ``**`` stands for any number."""
    body = "" if anchored else "(.*/)?"
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            body += ".*" if last else "(.*/)?"
        else:
            body += _segment(part) + ("" if last else "/")
    return body


def _segment(part: str) -> str:
    """Return the expression of one segment of a .gitignore's pattern."""
    body, place = "", 0
    while place < len(part):
        mark = part[place]
        place += 1
        if mark == "*":
            body += "" if body.endswith("[^/]*") else "[^/]*"
        elif mark == "?":
            body += "[^/]"
        elif mark == "[" and (end := _end_of_class(part, place)):
            body += _class(part[place:end])
            place = end + 1
        else:
            if mark == "\\" and place < len(part):
                mark = part[place]
                place += 1
            body += _escaped(mark)
    return body


def _end_of_class(part: str, start: int) -> int:
    """Return where the bracket expression that begins before `start` ends, 0 for nowhere."""
    place = start + (part[start : start + 1] in ("!", "^"))
    place += part[place : place + 1] == "]"
    while place < len(part) and part[place] != "]":
        place += 2 if part[place] == "\\" else 1
    return place if place < len(part) else 0


def _class(inner: str) -> str:
    """Return a bracket expression as POSIX has it, where a backslash is a character."""
    negated = inner[:1] in ("!", "^")
    members = re.sub(r"\\(.)", r"\1", inner[negated:])
    # ] stands first, ^ not first, or they have another meaning.
    first = "]" if "]" in members else ""
    rest = members.replace("]", "")
    if negated:
        return f"[^{first}/{rest}]"
    if rest.startswith("^") and not first:
        rest = f"{rest[1:]}^"
    return r"\^" if first + rest == "^" else f"[{first}{rest}]"


def _escaped(text: str) -> str:
    return _ERE.sub(lambda match: f"\\{match[0]}", text)


def expression(terms: Sequence[Term]) -> list[str]:
    """Return find's words for the paths that terms choose; the last that matches decides.

    For ``find . -regextype posix-extended``, whose paths begin with ``./``.
    """
    words: list[str] = []
    for (wanted, folders), run in groupby(terms, key=lambda term: (term.wanted, term.folders)):
        regexes = [term.regex for term in run]
        whole = regexes[0] if len(regexes) == 1 else f"({'|'.join(regexes)})"
        own = [*(("-type", "d") if folders else ()), "-regex", rf"\./{whole}"]
        if wanted:
            words = ["(", *words, "-o", *own, ")"] if words else own
        elif words:
            words = ["(", *words, "!", *(["(", *own, ")"] if folders else own), ")"]
    return words


def dockerignore(source: str, patterns: Sequence[str]) -> list[str]:
    """Return lines that leave out of the context what the patterns mean below `source`.

    source: relative to the context, "" for the context itself. A pattern that takes something
    back, or with brackets or escapes, makes it none at all (moby/patternmatcher differs).
    """
    lines = []
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            continue
        if any(mark in pattern for mark in "!\\[]") or pattern != pattern.strip():
            return []
        inner = pattern.rstrip("/")
        if not inner:
            continue
        anchored = "/" in inner
        below = inner.lstrip("/") if anchored else f"**/{inner}"
        # Only folders: their content, since a file may have that name.
        below = f"{below}/**" if pattern.endswith("/") else below
        lines.append(f"{escaped_path(source)}/{below}" if source else below)
    return lines


def escaped_path(path: str) -> str:
    """Return a path of a .dockerignore that means itself."""
    return re.sub(r"([*?\[\]\\!#])", r"\\\1", path)
