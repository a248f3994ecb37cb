"""The sections of the page below the maps: each a whole section, or nothing."""

from __future__ import annotations

from collections import Counter

from slimpack.report.checks import CheckResult, Checks
from slimpack.report.data import PackageRow, Report, RuleEffect, Slimming
from slimpack.report.imports import StartUp, compact
from slimpack.report.names import amount, change, count, number, share
from slimpack.report.page.colours import kind_class
from slimpack.report.page.markup import (
    NOTHING,
    Cell,
    Markup,
    bar,
    details,
    esc,
    join,
    paragraph,
    section,
    table,
)
from slimpack.report.sharing import Sharing

MAX_PACKAGES = 500
_MAX_RULES = 60
_MAX_PARTS = 8
_MAX_LAYERS = 130
_MAX_CHECKS = 100
_MAX_FINDINGS = 200
_MAX_LICENSES = 30
_MAX_IMPORTS = 300
_ACTIONS = {
    "drop": "removed",
    "strip-debug": "debug symbols stripped",
    "strip-symbols": "symbols stripped",
    "bytecode-only": "sources left out",
    "one-owner": "made one",
}
_MARKS = {"passed": "✓", "failed": "✗", "ignored": "\N{EN DASH}", "not made": "○"}


def slimming_section(slimming: Slimming | None) -> Markup:
    """Return what each rule took, and why."""
    if slimming is None:
        text = "This image was not slimmed by slimpack: it holds no slimming record."
        return section("slimming", "What slimming removed", [paragraph(text, "none")])
    taken = f"{amount(slimming.removed_bytes)} of {amount(slimming.before_bytes)}"
    content = [
        paragraph(
            f"Profile “{slimming.profile}” took {taken} "
            f"({share(slimming.removed_bytes, slimming.before_bytes)}) from the environment at "
            f"/{slimming.prefix}: {count(slimming.removed_files, 'file')} removed or shortened."
        )
    ]
    shown = slimming.rules[:_MAX_RULES]
    rows = [
        [
            Cell(Markup(f"{esc(rule.name)}{_rule_parts(rule)}")),
            Cell.text(rule.reason, 200),
            Cell.text(_ACTIONS.get(rule.action, rule.action)),
            Cell.number(number(rule.files), rule.files),
            Cell.size(rule.bytes),
            Cell(bar(rule.bytes, slimming.rules[0].bytes)),
        ]
        for rule in shown
    ]
    header = ("Rule", "Reason", "What it did", "Files", "Bytes", "")
    if rows:
        content.append(table("What each rule took", header, rows))
    content.append(_left_out(len(slimming.rules) - len(shown), "rule"))
    if slimming.packages:
        named = ", ".join(slimming.packages[:40])
        more = f" and {len(slimming.packages) - 40} more" if len(slimming.packages) > 40 else ""
        content.append(paragraph(f"Packages that are gone as a whole: {named}{more}."))
    return section("slimming", "What slimming removed", content)


def layers_section(report: Report) -> Markup:
    """Return the layers, and which of them a host with the other image has."""
    content = [_sharing(report.shared, report.other)] if report.shared else []
    shared = report.shared.layers if report.shared else ()
    most = max((layer.compressed for layer in report.layers), default=0)
    rows = [
        [
            Cell.number(str(layer.number), layer.number),
            Cell.text(layer.name or "(no name)"),
            Cell.number(number(layer.files), layer.files),
            Cell.size(layer.unpacked),
            Cell.size(layer.compressed),
            Cell(bar(layer.compressed, most)),
            *([Cell.text(shared[layer.number].state)] if shared else []),
            Cell(Markup(f"<code>{esc(layer.digest[7:19])}</code>")),
        ]
        for layer in report.layers[:_MAX_LAYERS]
    ]
    header = ["Layer", "Holds", "Files", "Unpacked", "Compressed", ""]
    header += ["With the other image", "Digest"] if shared else ["Digest"]
    content.append(table("Layers, from the bottom up", header, rows))
    content.append(_left_out(len(report.layers) - len(rows), "layer"))
    return section("layers", "Layers", content)


def checks_section(checks: Checks | None) -> Markup:
    """Return what `slimpack verify` found."""
    if checks is None:
        return NOTHING
    failed = checks.failed
    made = sum(result.state != "not made" for result in checks.results)
    told = f"{count(failed, 'check')} failed" if failed else "No check failed"
    content = [
        paragraph(
            f"{told}; {made} made, {len(checks.results) - made} not made.",
            "bad" if failed else "good",
        )
    ]
    items, left = [], _MAX_FINDINGS
    for result in sorted(checks.results, key=lambda result: result.state != "failed")[:_MAX_CHECKS]:
        items.append(_check(result, left))
        left -= min(left, len(result.findings))
    content.append(Markup(f'<ul class="checks">{join(items)}</ul>'))
    content.append(_left_out(len(checks.results) - len(items), "check"))
    return section("checks", "Verification", content)


def packages_section(report: Report) -> Markup:
    """Return every package with version, licence and bytes."""
    slimmed = report.slimming is not None
    shown = report.packages[:MAX_PACKAGES]
    header = ["Package", "Version", "From", "Licence", "Files", "Unpacked"]
    header += ["Before", "Change", "≈ Compressed"] if slimmed else ["≈ Compressed"]
    rows = [
        [
            Cell.text(row.name, 60),
            Cell.text(f"{row.version} {row.build}".strip() or "\N{EN DASH}", 50),
            Cell.text(row.origin),
            Cell.text(row.license or "\N{EN DASH}", 60),
            Cell.number(number(row.files), row.files),
            Cell.size(row.bytes),
            *(_change(row) if slimmed else []),
            Cell.size(row.compressed, "≈ "),
        ]
        for row in shown
    ]
    content = [
        paragraph(
            "Compressed sizes are estimates (≈): a layer's is known only as a whole, and is spread "
            "over its files by their unpacked bytes."
        ),
        table("Packages", header, rows)
        if rows
        else paragraph("The image names no packages.", "none"),
        _left_out(len(report.packages) - len(shown), "package"),
        _licenses(report.packages),
    ]
    return section("packages", "Packages and licences", content)


def start_up_section(start_up: StartUp | None) -> Markup:
    """Return the import time tree."""
    if start_up is None:
        return NOTHING
    total = start_up.total
    totals = sorted((item.total for item in start_up.imports), reverse=True)
    least = totals[_MAX_IMPORTS] + 1 if len(totals) > _MAX_IMPORTS else 1
    small = compact(start_up, max(total // 200, least))
    content = [
        paragraph(
            f"{_milliseconds(total)} in {count(len(start_up.imports), 'module')}. "
            "What took little is counted with what imported it."
        ),
        _import_tree(small, total),
    ]
    return section("start-up", "Start-up: import times", content)


def _rule_parts(rule: RuleEffect) -> Markup:
    items = "".join(
        f'<li class="{kind_class(part.kind)}">{esc(part.owner, 60)}, {esc(part.kind)}: '
        f"{count(part.files, 'file')}, {amount(part.bytes)}</li>"
        for part in rule.parts[:_MAX_PARTS]
    )
    more = len(rule.parts) - _MAX_PARTS
    tail = f"<li>and {more} more</li>" if more > 0 else ""
    return details(Markup("from which packages"), Markup(f"<ul>{items}{tail}</ul>"))


def _sharing(shared: Sharing, other: str) -> Markup:
    same = sum(layer.state == "shared" for layer in shared.layers)
    text = (
        f"A host that has {other} has {same} of {count(len(shared.layers), 'layer')} already "
        f"and pulls {amount(shared.pulled)} of {amount(shared.pulled + shared.kept)}."
    )
    if shared.pulled_stacked > shared.pulled:
        text += (
            f" The Docker Engine's own store pulls {amount(shared.pulled_stacked)}: it finds a "
            "layer only on top of the same layers (containerd and podman do not ask for that)."
        )
    return paragraph(text)


def _check(result: CheckResult, room: int) -> Markup:
    state = result.state
    css = {"passed": "good", "failed": "bad"}.get(state, "soft")
    head = (
        f'<span class="state {css}"><span aria-hidden="true">{_MARKS[state]}</span> {state}</span> '
        f"<b>{esc(result.name)}</b> <span>{esc(result.explanation, 200)}</span>"
    )
    if result.skipped:
        head += f' <span class="soft">({esc(result.skipped, 200)})</span>'
    shown = result.findings[: min(room, 20)]
    if not result.findings:
        return Markup(f"<li>{head}</li>")
    items = "".join(
        f"<li><b>{esc(finding.severity)}</b> "
        + (f"<code>{esc(finding.path)}</code> " if finding.path else "")
        + esc(finding.message, 200)
        + (f' <span class="soft">{esc(finding.fix, 200)}</span>' if finding.fix else "")
        + "</li>"
        for finding in shown
    )
    more = len(result.findings) - len(shown)
    tail = f"<li>{count(more, 'finding')} more</li>" if more else ""
    opened = " open" if state == "failed" else ""
    return Markup(
        f"<li>{head}<details{opened}><summary>{count(len(result.findings), 'finding')}</summary>"
        f"<ul>{items}{tail}</ul></details></li>"
    )


def _change(row: PackageRow) -> list[Cell]:
    before = row.before or 0
    return [Cell.size(before), Cell.number(change(row.bytes - before), row.bytes - before)]


def _licenses(packages: tuple[PackageRow, ...]) -> Markup:
    counted = Counter(row.license or "not stated in the package's record" for row in packages)
    rows = [
        [Cell.text(name, 60), Cell.number(number(value), value)]
        for name, value in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]
    if not rows:
        return NOTHING
    listed = table("Packages by licence", ("Licence", "Packages"), rows[:_MAX_LICENSES])
    tail = _left_out(len(rows) - _MAX_LICENSES, "licence")
    return details(Markup(f"{count(len(rows), 'licence')}"), Markup(f"{listed}{tail}"))


def _import_tree(start_up: StartUp, total: int) -> Markup:
    lines: list[str] = ['<ul class="tree">']
    following = [item.depth for item in start_up.imports[1:]] + [0]
    for item, after in zip(start_up.imports, following, strict=True):
        line = (
            f'<span class="row"><code>{esc(item.module, 60)}</code> '
            f"<span>{_milliseconds(item.total)}</span> "
            f'<span class="soft">own {_milliseconds(item.own)}</span>'
            f"{bar(item.total, total)}</span>"
        )
        if after > item.depth:
            opened = " open" if item.depth < 1 else ""
            lines.append(f"<li><details{opened}><summary>{line}</summary><ul>")
        else:
            lines.append(f"<li>{line}</li>" + "</ul></details></li>" * (item.depth - after))
    return Markup("\n".join([*lines, "</ul>"]))


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:,.1f} ms"


def _left_out(more: int, what: str) -> Markup:
    if more <= 0:
        return NOTHING
    return paragraph(f"{count(more, what)} more; `slimpack report --json` has all.", "none")
