"""Tables for people: aligned columns of text, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Return a table as text; `right` are the columns that are aligned to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def draw(line: Sequence[str]) -> str:
        cells = (
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(line)
        )
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([draw(lines[0]), rule, *(draw(line) for line in lines[1:])])


def printable(text: str, width: int = 60) -> str:
    """Return foreign text fit for a terminal: one line, no control characters, not too long."""
    shown = "".join(
        character if character.isprintable() else " " if character.isspace() else "?"
        for character in text
    )
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def megabytes(size: int) -> str:
    """Return a size in MB (10^6 bytes) with one decimal."""
    return f"{size / 1e6:.1f}"


def package_count(conda: int, pypi: int) -> str:
    """Return how many packages there are, such as ``41 and 3 of pip``."""
    return f"{conda} and {pypi} of pip" if pypi else str(conda)
