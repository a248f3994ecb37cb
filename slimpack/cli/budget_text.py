"""Verdicts of ``slimpack budget`` for people: on a terminal, and in the summary of a CI job."""

from __future__ import annotations

from collections.abc import Sequence

from slimpack.budget.judge import Check, Culprit, Verdict
from slimpack.cli.table import printable, table

_HEADER = ("limit", "allowed", "actual", "percent", "")


def complaints(verdict: Verdict) -> list[str]:
    """Return a line for each limit that is exceeded, and below it the culprits."""
    lines = []
    for check in verdict.exceeded:
        lines.append(
            f"{_name(check)}: {_amount(check.actual, check)} of "
            f"{_amount(check.allowed, check)} allowed"
        )
        lines += [f"  {_amount(one.amount, check):>12}  {_package(one)}" for one in check.culprits]
    return lines


def _name(check: Check) -> str:
    return f"{check.limit} ({printable(check.subject)})" if check.subject else check.limit


def _package(culprit: Culprit) -> str:
    return printable(f"{culprit.name} {culprit.version}".strip())


def _amount(amount: int, check: Check) -> str:
    """Return a size in the biggest unit that it fills, or a number."""
    sign = "+" if check.limit == "max_growth" and amount > 0 else ""
    if check.unit == "count":
        return f"{sign}{amount}"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if abs(amount) >= size:
            return f"{sign}{amount / size:.1f} {unit}"
    return f"{sign}{amount} B"


def _rows(verdict: Verdict) -> list[tuple[str, ...]]:
    return [
        (
            _name(check),
            _amount(check.allowed, check),
            _amount(check.actual, check),
            "" if check.percent is None else f"{check.percent:.0f} %",
            "exceeded" if check.exceeded else "ok",
        )
        for check in verdict.checks
    ]


def _notes(verdict: Verdict) -> list[str]:
    notes = []
    if verdict.absent:
        notes.append(f"not in the image: {', '.join(map(printable, verdict.absent))}")
    if verdict.baseline:
        notes.append(f"compared with {verdict.baseline}")
    return notes


def in_text(verdict: Verdict) -> str:
    """Return a verdict as a table for a terminal."""
    lines = [
        f"image     {printable(verdict.label, 200)}",
        f"digest    {verdict.digest}",
        "",
        table(_HEADER, _rows(verdict), right=(1, 2, 3)),
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(verdict))])


def in_markdown(verdict: Verdict) -> str:
    """Return GitHub Flavored Markdown, in which nothing of the image is taken for markup."""
    state = "exceeds its budget" if verdict.exceeded else "is within its budget"
    lines = [
        f"### {_escaped(verdict.label)} {state}",
        "",
        f"`{verdict.digest}`",
        "",
        *_markdown_table(("limit", "allowed", "actual", "percent", "result"), _rows(verdict)),
    ]
    for check in verdict.exceeded:
        if check.culprits:
            culprits = [(_package(one), _amount(one.amount, check)) for one in check.culprits]
            lines += ["", f"**{_escaped(_name(check))}**", ""]
            lines += _markdown_table(("package", "size"), culprits)
    for note in _notes(verdict):
        lines += ["", _escaped(note)]
    return "\n".join(lines)


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *("---:" for _ in header[1:])]]
    return [
        f"| {' | '.join(line)} |"
        for line in (*lines, *([_escaped(cell) for cell in row] for row in rows))
    ]


def _escaped(text: str) -> str:
    """Escape what Markdown gives a meaning: all ASCII punctuation may be (CommonMark 2.4)."""
    shown = printable(text, 200)
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>()#+!|~&@:" else mark for mark in shown)
