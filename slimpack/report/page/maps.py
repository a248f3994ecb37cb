"""Treemaps as HTML boxes placed in percent.

Boxes and not SVG, because text in them keeps its size and is cut with an ellipsis
whatever the width of the window is; a scaled SVG would shrink it on a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slimpack.report.names import amount, count, number, share
from slimpack.report.page.colours import kind_class
from slimpack.report.page.markup import Cell, Markup, details, esc, join, table
from slimpack.report.parts import Part, Sum, by_kind, by_owner
from slimpack.report.treemap import Box, squarify

MAX_BOXES = 40
_MAX_INNER = 10
# Of a box in a wide window; in a narrow one boxes are as much taller.
_WIDTH, _HEIGHT = 2.2, 1.0


@dataclass(frozen=True)
class View:
    """One map: by is "package" or "kind", when is "after" or "before"."""

    by: str
    when: str
    title: str
    sums: Sequence[Sum]
    inner: Callable[[Part], str]


def views(after: Sequence[Part], before: Sequence[Part]) -> list[View]:
    """Return the maps of an image: two, or four when it was slimmed."""
    made = []
    for when, parts in (("after", after), ("before", before)):
        if parts:
            title = f"{when.capitalize()} slimming" if before else "In the image"
            made.append(View("package", when, title, by_owner(parts), lambda part: part.kind))
            made.append(View("kind", when, title, by_kind(parts), lambda part: part.owner))
    return made


def folded(sums: Sequence[Sum], most: int = MAX_BOXES) -> list[Sum]:
    """Return the biggest, and what is left as one; things without bytes only in the latter."""
    shown = [item for item in sums if item.bytes][:most]
    rest = sums[len(shown) :]
    if not rest:
        return list(shown)
    others = Sum(
        count(len(rest), "other"),
        sum(item.files for item in rest),
        sum(item.bytes for item in rest),
        sum(item.compressed for item in rest),
        tuple(part for item in rest for part in item.parts),
    )
    return [*shown, others]


def figure(view: View) -> Markup:
    """Return a map with its caption and the same as a table."""
    total = sum(item.bytes for item in view.sums)
    files = sum(item.files for item in view.sums)
    caption = f"{view.title}, by {view.by}: {amount(total)} in {count(files, 'file')}"
    sums = folded(view.sums)
    boxes = zip(sums, squarify([item.bytes for item in sums], _WIDTH, _HEIGHT), strict=True)
    drawn = [_box(view, item, total, box) for item, box in boxes if item.bytes]
    return Markup(
        f'<figure class="view {view.by} {view.when}"><figcaption>{esc(caption)}</figcaption>\n'
        f'<div class="map" role="group" aria-label="{esc(caption)}">{join(drawn)}</div>\n'
        f'<p class="about" aria-hidden="true">Arrow keys move between the boxes.</p>'
        f"{details(Markup('The same as a table'), _table(view, caption, sums, total))}</figure>"
    )


def legend(parts: Sequence[Part]) -> Markup:
    """Return which colour is which kind, for the kinds that there are."""
    items = "".join(
        f'<li class="{kind_class(item.name)}"><i aria-hidden="true"></i>{esc(item.name)}</li>'
        for item in by_kind(parts)[:20]
    )
    return Markup(f'<ul class="legend" aria-label="Colours of kinds">{items}</ul>')


def strip(title: str, parts: Sequence[Part], whole: int) -> Markup:
    """Return one bar of all kinds; `whole` bytes are its full width."""
    total = sum(part.bytes for part in parts)
    pieces = "".join(
        f'<i class="{kind_class(item.name)}" style="width:{100 * item.bytes / whole:.3f}%"'
        f' title="{esc(item.name)}: {amount(item.bytes)}"></i>'
        for item in by_kind(parts)[:20]
        if item.bytes
    )
    return Markup(
        f'<p class="strip"><span>{esc(title)} <b>{amount(total)}</b></span>'
        f'<span class="pieces" aria-hidden="true">{pieces}</span></p>'
    )


def _box(view: View, item: Sum, total: int, box: Box) -> Markup:
    inner = _inner(view, item)
    told = "; ".join(f"{name} {amount(size)}" for name, size, _ in inner[:4])
    label = (
        f"{item.name}: {amount(item.bytes)}, {share(item.bytes, total)}, "
        f"{count(item.files, 'file')}"
    )
    # Its own shape decides how the inner boxes are laid out.
    places = squarify([size for _, size, _ in inner], box.width, box.height)
    cells = "".join(
        f'<i class="{kind_class(kind)}" style="{_place(place, box.width, box.height)}"'
        f' title="{esc(name)}: {amount(size)}"><b>{esc(name, 40)}</b></i>'
        for (name, size, kind), place in zip(inner, places, strict=True)
        if size
    )
    return Markup(
        f'<div class="box" role="img" tabindex="0" style="{_place(box, _WIDTH, _HEIGHT)}"'
        f' aria-label="{esc(f"{label} ({told})", 300)}">'
        f'<span class="t"><b>{esc(item.name, 40)}</b> {amount(item.bytes)}</span>'
        f'<span class="in">{cells}</span></div>'
    )


def _inner(view: View, item: Sum) -> list[tuple[str, int, str]]:
    """Return (name, bytes, kind) of what a box consists of, biggest first, the tail as one."""
    sizes: dict[str, tuple[int, str]] = {}
    for part in item.parts:
        name = view.inner(part)
        before = sizes.get(name, (0, part.kind))
        sizes[name] = before[0] + part.bytes, part.kind if part.kind == before[1] else ""
    rows = sorted(
        ((name, size, kind) for name, (size, kind) in sizes.items()),
        key=lambda row: (-row[1], row[0]),
    )
    rest = rows[_MAX_INNER:]
    if not rest:
        return rows
    kinds = {kind for _, _, kind in rest}
    tail = (
        count(len(rest), "other"),
        sum(row[1] for row in rest),
        min(kinds) if len(kinds) == 1 else "",
    )
    return [*rows[:_MAX_INNER], tail]


def _table(view: View, caption: str, sums: Sequence[Sum], total: int) -> Markup:
    estimated = view.when == "after"
    header = [view.by.capitalize(), "Unpacked", "Share", "Files"]
    rows = [
        [
            Cell.text(item.name),
            Cell.size(item.bytes),
            Cell.number(share(item.bytes, total), item.bytes),
            Cell.number(number(item.files), item.files),
            *([Cell.size(item.compressed, "≈ ")] if estimated else []),
        ]
        for item in sums
    ]
    return table(caption, [*header, "≈ Compressed"] if estimated else header, rows)


def _place(box: Box, width: float, height: float) -> str:
    across, down = 100 / width if width else 0, 100 / height if height else 0
    return (
        f"left:{box.left * across:.2f}%;top:{box.top * down:.2f}%;"
        f"width:{box.width * across:.2f}%;height:{box.height * down:.2f}%"
    )
