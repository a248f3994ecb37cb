"""Pieces of HTML. `Markup` is text that is safe to put into a page as it is."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

from slimpack.report.names import MAX_NAME, amount, clean

Markup = NewType("Markup", str)
NOTHING = Markup("")


def esc(text: str, limit: int = MAX_NAME) -> Markup:
    """Return foreign text for an element or a quoted attribute."""
    return Markup(html.escape(clean(text, limit)))


def join(pieces: Sequence[Markup], between: str = "\n") -> Markup:
    """Put pieces together."""
    return Markup(between.join(pieces))


@dataclass(frozen=True)
class Cell:
    """A table's cell. sort: what the column is sorted by; None for its text."""

    content: Markup
    sort: int | None = None

    @classmethod
    def text(cls, text: str, limit: int = MAX_NAME) -> Cell:
        """Make a cell of foreign text."""
        return cls(esc(text, limit))

    @classmethod
    def number(cls, text: str, value: int) -> Cell:
        """Make a cell aligned to the right."""
        return cls(esc(text), value)

    @classmethod
    def size(cls, size: int, prefix: str = "") -> Cell:
        """Make a cell of bytes."""
        return cls.number(f"{prefix}{amount(size)}", size)


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Return a table whose first column names its rows; columns of numbers can be sorted by."""
    # The first column, which names the rows, is to the left in any case.
    numeric = [n > 0 and all(row[n].sort is not None for row in rows) for n in range(len(header))]
    heads = "".join(
        f'<th scope="col"{_class(numeric[n])}>{esc(name)}</th>' for n, name in enumerate(header)
    )
    body = "\n".join(f"<tr>{_row(row)}</tr>" for row in rows)
    # Wide tables scroll by themselves, which a keyboard must be able to do as well.
    return Markup(
        f'<div class="scroll" role="region" aria-label="{esc(caption)}" tabindex="0">'
        f"<table><caption>{esc(caption)}</caption><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def bar(part: int, whole: int) -> Markup:
    """Return a bar, for the eye only: the number is beside it."""
    width = 100 * part / whole if whole else 0
    return Markup(f'<span class="bar" aria-hidden="true"><i style="width:{width:.2f}%"></i></span>')


def details(summary: Markup, content: Markup) -> Markup:
    """Return what can be opened."""
    return Markup(f"<details><summary>{summary}</summary>{content}</details>")


def section(name: str, title: str, content: Sequence[Markup]) -> Markup:
    """Return a section with a heading of the second level, which names it."""
    return Markup(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n'
        + "\n".join(content)
        + "</section>"
    )


def paragraph(text: str, css: str = "") -> Markup:
    """Return a paragraph of text."""
    start = f'<p class="{css}">' if css else "<p>"
    return Markup(f"{start}{esc(text, 1000)}</p>")


def _row(row: Sequence[Cell]) -> str:
    value = "" if row[0].sort is None else f' data-v="{row[0].sort}"'
    first = f'<th scope="row"{value}>{row[0].content}</th>'
    return first + "".join(
        f"<td>{cell.content}</td>"
        if cell.sort is None
        else f'<td class="n" data-v="{cell.sort}">{cell.content}</td>'
        for cell in row[1:]
    )


def _class(numeric: bool) -> str:
    return ' class="n"' if numeric else ""
