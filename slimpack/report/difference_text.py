"""What differs between two images, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from slimpack.report.difference import Difference, FileChange
from slimpack.report.names import amount, change, clean, count
from slimpack.report.text import sharing_lines

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def render_difference(
    difference: Difference, names: tuple[str, str], *, top: int | None = 20
) -> str:
    """Return the difference as text. names: of the two images. top: files shown, None for all."""
    one, other = (clean(name) for name in names)
    lines = [
        f"-  {one}  {difference.digests[0]}",
        f"+  {other}  {difference.digests[1]}",
        "",
        _sizes("to pull", difference.compressed),
        _sizes("unpacked", difference.unpacked),
    ]
    blocks = [
        _packages(difference),
        _files(difference.files, top),
        _config(difference),
        _layers(difference, one),
    ]
    for block in blocks:
        lines += ["", *block]
    return "\n".join(lines)


def _sizes(title: str, sizes: tuple[int, int]) -> str:
    before, after = sizes
    return f"{title:<9} {amount(before)} -> {amount(after)} ({change(after - before)})"


def _packages(difference: Difference) -> list[str]:
    lines = [f"packages  {_counts([item.change for item in difference.packages])}"]
    for item in difference.packages:
        versions = " -> ".join(clean(text, 50) for text in (item.before, item.after) if text)
        moved = change(item.bytes_after - item.bytes_before)
        lines.append(
            f"  {_SIGNS[item.change]} {clean(item.name, 40)} {versions} ({item.origin}, {moved})"
        )
    return lines


def _files(files: Sequence[FileChange], top: int | None) -> list[str]:
    lines = [f"files     {_counts([item.change for item in files])}"]
    shown = files
    if top is not None:
        shown = sorted(files, key=lambda item: -max(item.bytes_before, item.bytes_after))[:top]
    for item in shown:
        what = f" [{item.what}]" if item.what not in ("", "content") else ""
        size = change(item.bytes_after - item.bytes_before)
        lines.append(f"  {_SIGNS[item.change]} /{clean(item.path, 300)}{what} ({size})")
    if len(shown) < len(files):
        lines.append(f"  {count(len(files) - len(shown), 'smaller one')} more; --all shows them")
    return lines


def _config(difference: Difference) -> list[str]:
    if not difference.config:
        return ["config    the same"]
    lines = ["config"]
    for item in difference.config:
        lines += [
            f"  {sign} {clean(item.key)}={clean(text, 500)}"
            for sign, text in (("-", item.before), ("+", item.after))
            if text
        ]
    return lines


def _layers(difference: Difference, one: str) -> list[str]:
    words = {"shared": "there", "recompressed": "pull (only compressed anew)", "new": "pull"}
    rows = [
        f"  {layer.number:>3} {amount(layer.compressed):>9}  {words[layer.state]:<6} "
        f"{clean(layer.name or layer.digest, 60)}"
        for layer in difference.sharing.layers
    ]
    return ["layers", *rows, *sharing_lines(difference.sharing, one)]


def _counts(changes: Sequence[str]) -> str:
    if not changes:
        return "the same"
    return ", ".join(
        f"{changes.count(name)} {name}"
        for name in ("added", "removed", "changed")
        if name in changes
    )
