"""The page as a whole."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from slimpack.report.data import Report
from slimpack.report.names import amount, count, number, share
from slimpack.report.page import colours
from slimpack.report.page.maps import figure, legend, strip, views
from slimpack.report.page.markup import Markup, esc, join, section
from slimpack.report.page.sections import (
    checks_section,
    layers_section,
    packages_section,
    slimming_section,
    start_up_section,
)


def render(report: Report) -> str:
    """Return the page; it depends on `report` and slimpack's version of the style alone."""
    script = _resource("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    sections = [
        ("space", "What takes the space", _maps(report)),
        ("slimming", "What slimming removed", slimming_section(report.slimming)),
        ("layers", "Layers", layers_section(report)),
        ("checks", "Verification", checks_section(report.checks)),
        ("packages", "Packages and licences", packages_section(report)),
        ("start-up", "Start-up", start_up_section(report.start_up)),
    ]
    links = "".join(
        f'<li><a href="#{name}">{title}</a></li>' for name, title, content in sections if content
    )
    body = join([content for _, _, content in sections if content])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{esc(report.name)}: image report</title>
<style>{colours.style()}
{_resource("style.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<h1><bdi>{esc(report.name)}</bdi></h1>
<p class="soft">Image report. <span>{esc(report.platform)}</span>, digest
<code>{esc(report.digest)}</code></p>
{_figures(report)}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="main" tabindex="-1">
{body}
</main>
<footer><p class="soft">Made by slimpack report. Sizes in powers of 1000; “unpacked” counts the
bytes of all files that are visible in the image.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def _figures(report: Report) -> Markup:
    """Return the numbers at the top."""
    items = [
        ("To pull", amount(report.compressed), count(len(report.layers), "layer")),
        ("Unpacked", amount(report.unpacked), count(report.files, "file")),
        ("Packages", number(sum(row.bytes > 0 for row in report.packages)), "with files"),
    ]
    if report.slimming:
        slim = report.slimming
        told = share(slim.removed_bytes, slim.before_bytes)
        items.insert(2, ("Slimming took", amount(slim.removed_bytes), f"{told} of the environment"))
    if report.shared:
        items.append(("Already there", amount(report.shared.kept), "with the other image"))
    if report.checks:
        failed = report.checks.failed
        items.append(("Checks", f"{failed} failed" if failed else "passed", ""))
    if report.start_up:
        items.append(("Imports", f"{report.start_up.total / 1000:,.0f} ms", "at start"))
    tiles = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b> <span>{note}</span></dd></div>"
        for name, value, note in items
    )
    return Markup(f'<dl class="figures">{tiles}</dl>')


def _maps(report: Report) -> Markup:
    before = sum(part.bytes for part in report.before)
    whole = max(before, report.unpacked, 1)
    strips = [strip("Unpacked" if not before else "After slimming", report.after, whole)]
    if before:
        strips.insert(0, strip("Before slimming", report.before, whole))
    choices = [_choice("by", "Group by", ("package", "kind"))]
    if before:
        choices.append(_choice("when", "Show", ("after", "before")))
    content = [
        *strips,
        legend(report.before or report.after),
        Markup(f'<div class="choices">{join(choices)}</div>'),
        *(figure(view) for view in views(report.after, report.before)),
    ]
    return section("space", "What takes the space", content)


def _choice(name: str, title: str, values: tuple[str, str]) -> Markup:
    radios = "".join(
        f'<label><input type="radio" name="{name}" id="{name}-{value}"'
        f"{' checked' if not n else ''}>{value}</label>"
        for n, value in enumerate(values)
    )
    return Markup(f"<fieldset><legend>{title}</legend>{radios}</fieldset>")


def _resource(name: str) -> str:
    return (files("slimpack.report.page") / name).read_text(encoding="utf-8")
