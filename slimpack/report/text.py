"""The report for a terminal: trees with sizes and bars, without colour, as wide as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slimpack.report.checks import Checks
from slimpack.report.data import Report, Slimming
from slimpack.report.imports import Import, StartUp, compact
from slimpack.report.names import amount, clean, count, share
from slimpack.report.parts import Part, Sum, by_kind, by_owner
from slimpack.report.sharing import Sharing

MIN_WIDTH = 40
_NUMBERS = 11
_Inner = Callable[[Part], str] | None
_ASCII = str.maketrans({"├": "|", "└": "`", "│": "|", "─": "-", "█": "#", "≈": "~", "…": "."})


@dataclass(frozen=True)
class Node:
    """A line of a tree: a label, bytes or microseconds, and what is below."""

    label: str
    value: int
    shown: str
    below: tuple[Node, ...] = ()


def render_text(report: Report, width: int = 80, *, ascii_only: bool = False, top: int = 15) -> str:
    """Return the report as text, no line of it longer than `width` (at least `MIN_WIDTH`).

    ascii_only: for terminals that know nothing else. top: how many lines of each list.
    """
    width = max(width, MIN_WIDTH)
    when = "after slimming" if report.before else "in the image"
    blocks = [
        _head(report),
        _space(f"by package, {when}", by_owner(report.after), top, width, lambda part: part.kind),
        _space(f"by kind, {when}", by_kind(report.after), top, width, lambda part: part.owner),
    ]
    if report.before:
        before = by_kind(report.before)
        blocks.append(_space("by kind, before slimming", before, top, width, None))
    blocks += [
        _slimming(report.slimming, top, width),
        _layers(report, top, width),
        _checks(report.checks, top),
        _packages(report, top),
        _start_up(report.start_up, top, width),
    ]
    lines = [line for block in blocks if block for line in ["", *block]][1:]
    text = "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)
    if ascii_only:
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text


def tree(title: str, nodes: Sequence[Node], width: int) -> list[str]:
    """Draw a tree: labels, bars as long as their values, numbers to the right."""
    most = max((node.value for node in nodes), default=0)
    bars = max((width - _NUMBERS) // 4, 6)
    labels = width - _NUMBERS - bars - 2
    lines = [title]
    waiting = [("", nodes[n], n == len(nodes) - 1) for n in reversed(range(len(nodes)))]
    while waiting:
        indent, node, last = waiting.pop()
        label = f"{indent}{'└── ' if last else '├── '}{node.label}"
        filled = round(bars * node.value / most) if most else 0
        lines.append(
            f"{clean(label, labels):<{labels}} {'█' * min(filled, bars):<{bars}} "
            f"{node.shown:>{_NUMBERS}}"
        )
        deeper = indent + ("    " if last else "│   ")
        below = node.below
        waiting += [(deeper, below[n], n == len(below) - 1) for n in reversed(range(len(below)))]
    return lines


def _head(report: Report) -> list[str]:
    return [
        f"image     {clean(report.name)}",
        f"digest    {report.digest}",
        f"platform  {clean(report.platform)}",
        f"size      {amount(report.compressed)} to pull, {amount(report.unpacked)} unpacked "
        f"in {count(report.files, 'file')}",
    ]


def _space(title: str, sums: Sequence[Sum], top: int, width: int, inner: _Inner) -> list[str]:
    total = sum(item.bytes for item in sums)
    nodes = [_node(item, inner) for item in sums[:top]]
    rest = sums[top:]
    if rest:
        size = sum(item.bytes for item in rest)
        nodes.append(Node(count(len(rest), "other"), size, amount(size)))
    return tree(f"space     {amount(total)} {title}", nodes, width)


def _node(item: Sum, inner: _Inner) -> Node:
    below: dict[str, int] = {}
    if inner:
        for part in item.parts:
            below[inner(part)] = below.get(inner(part), 0) + part.bytes
    biggest = sorted(below.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    return Node(
        item.name,
        item.bytes,
        amount(item.bytes),
        tuple(Node(name, size, amount(size)) for name, size in biggest if 20 * size >= item.bytes),
    )


def _slimming(slimming: Slimming | None, top: int, width: int) -> list[str]:
    if slimming is None:
        return ["slimming  not slimmed by slimpack"]
    title = (
        f"slimming  profile {clean(slimming.profile)}: {amount(slimming.removed_bytes)} of "
        f"{amount(slimming.before_bytes)} "
        f"({share(slimming.removed_bytes, slimming.before_bytes)}) taken"
    )
    nodes = [
        Node(
            f"{rule.name} ({count(rule.files, 'file')}): {rule.reason}",
            rule.bytes,
            amount(rule.bytes),
        )
        for rule in slimming.rules[:top]
    ]
    rest = slimming.rules[top:]
    if rest:
        size = sum(rule.bytes for rule in rest)
        nodes.append(Node(count(len(rest), "other rule"), size, amount(size)))
    return tree(title, nodes, width)


def _layers(report: Report, top: int, width: int) -> list[str]:
    states = {layer.number: layer.state for layer in report.shared.layers} if report.shared else {}
    nodes = [
        Node(
            f"{layer.number} {layer.name or '(no name)'}"
            + (f" ({states[layer.number]})" if states else ""),
            layer.compressed,
            amount(layer.compressed),
        )
        for layer in report.layers[: 2 * top]
    ]
    rest = report.layers[2 * top :]
    if rest:
        size = sum(layer.compressed for layer in rest)
        nodes.append(Node(count(len(rest), "other layer"), size, amount(size)))
    lines = tree("layers    compressed, from the bottom up", nodes, width)
    return lines + (sharing_lines(report.shared, clean(report.other)) if report.shared else [])


def sharing_lines(shared: Sharing, other: str) -> list[str]:
    """Return what a host that has `other` pulls, in one or two lines."""
    same = sum(layer.state == "shared" for layer in shared.layers)
    lines = [
        f"pull      {amount(shared.pulled)} of {amount(shared.pulled + shared.kept)} where "
        f"{other} is: {same} of {count(len(shared.layers), 'layer')} there"
    ]
    if shared.pulled_stacked > shared.pulled:
        lines.append(
            f"          {amount(shared.pulled_stacked)} by the Docker Engine's own store, which "
            "keeps a layer only above the same ones"
        )
    return lines


def _checks(checks: Checks | None, top: int) -> list[str]:
    if checks is None:
        return []
    lines = [f"verify    {count(checks.failed, 'check')} of {len(checks.results)} failed"]
    for result in sorted(checks.results, key=lambda result: result.state != "failed"):
        note = f": {clean(result.skipped, 60)}" if result.skipped else ""
        lines.append(f"  {result.state:<9} {clean(result.name, 40)}{note}")
        for finding in result.findings[:top] if result.state == "failed" else ():
            where = f"{clean(finding.path)}: " if finding.path else ""
            lines.append(f"            {where}{clean(finding.message, 200)}")
    return lines


def _packages(report: Report, top: int) -> list[str]:
    lines = [f"packages  {len(report.packages)}, with versions and licences (all of them: --json)"]
    for row in report.packages[:top]:
        version = clean(row.version, 20)
        lines.append(
            f"  {clean(row.name, 28):<28} {version:<14} {amount(row.bytes):>9}  "
            f"{clean(row.license, 40) or 'no licence stated'}"
        )
    return lines


def _start_up(start_up: StartUp | None, top: int, width: int) -> list[str]:
    if start_up is None:
        return []
    totals = sorted((item.total for item in start_up.imports), reverse=True)
    small = compact(start_up, totals[min(2 * top, len(totals)) - 1])
    title = f"start-up  {start_up.total / 1000:,.1f} ms in {count(len(start_up.imports), 'module')}"
    return tree(title, _nested(small.imports), width)


def _nested(imports: Iterable[Import]) -> tuple[Node, ...]:
    """Turn pre-order with depths into nodes."""
    levels: list[list[Node]] = [[]]
    for item in reversed(list(imports)):
        while len(levels) <= item.depth + 1:
            levels.append([])
        below = tuple(reversed(levels[item.depth + 1]))
        levels[item.depth + 1] = []
        shown = f"{item.total / 1000:,.1f} ms"
        levels[item.depth].append(Node(item.module, item.total, shown, below))
    return tuple(reversed(levels[0]))
