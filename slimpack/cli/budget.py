"""``slimpack budget``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from slimpack.budget.judge import Check, Culprit, Verdict, judge
from slimpack.budget.measure import measure, read_baseline
from slimpack.cli.options import config_option, configuration
from slimpack.cli.table import printable, table
from slimpack.cli.telling import Function, platform_option, with_options
from slimpack.config import BudgetConfig
from slimpack.errors import InputError, VerifyError
from slimpack.oci.config import Platform
from slimpack.oci.read import image_names, read_image
from slimpack.platforms import resolve
from slimpack.sizes import parse_growth, parse_size

Value = TypeVar("Value")


def _parsed(parse: Callable[[str], Value]) -> Callable[..., Value | None]:
    def callback(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> Value | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


def _package_limits(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    limits = []
    for value in values:
        name, equals, size = value.rpartition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=SIZE such as 'torch=200 MB', got {value!r}")
        try:
            limits.append((name, parse_size(size)))
        except ValueError as error:
            raise click.BadParameter(f"{name}: {error}") from error
    return tuple(limits)


_size = _parsed(parse_size)
_LIMITS = (
    click.option("--max-image", "image", metavar="SIZE", callback=_size, help="Compressed."),
    click.option("--max-unpacked", "unpacked", metavar="SIZE", callback=_size, help="All files."),
    click.option(
        "--max-layer", "layer", metavar="SIZE", callback=_size, help="Each layer, compressed."
    ),
    click.option("--max-files", "files", type=click.IntRange(0), metavar="N"),
    click.option("--max-layers", "layers", type=click.IntRange(0), metavar="N"),
    click.option(
        "--max-package",
        "packages",
        multiple=True,
        metavar="NAME=SIZE",
        callback=_package_limits,
        help="A package's files, by name or glob; more than once for several.",
    ),
    click.option(
        "--max-growth",
        metavar="SIZE|PERCENT",
        callback=_parsed(parse_growth),
        help="Of the compressed size, since the image that --against names.",
    ),
    click.option(
        "--against",
        metavar="IMAGE|REPORT",
        type=click.Path(path_type=Path),
        help="What growth is measured from: an image, or what `slimpack report --json` wrote.",
    ),
)


def _limit_options(function: Function) -> Function:
    """Give a command the limits as options; it receives `budget`, flags over the file."""

    @functools.wraps(function)
    def command(
        config_file: Path | None, packages: tuple[tuple[str, int], ...], **rest: Any
    ) -> Any:
        names = ("image", "unpacked", "layer", "files", "layers", "max_growth", "against")
        given = {name: rest.pop(name) for name in names}
        config = configuration(config_file)
        merged = {**dict(config.budget.packages), **dict(packages)}
        config = config.with_budget(**given, packages=tuple(merged.items()))
        return function(budget=config.budget, **rest)

    return with_options((*_LIMITS, config_option), command)


@click.command("budget", short_help="Check that an image is no bigger than it may be.")
@click.argument("path", metavar="[IMAGE]", required=False, type=click.Path(path_type=Path))
@_limit_options
@platform_option("Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.option("--markdown", is_flag=True, help="As Markdown, for the summary of a CI job.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what is exceeded.")
def budget_command(
    path: Path | None,
    budget: BudgetConfig,
    platform: str | None,
    ref: str,
    as_json: bool,
    markdown: bool,
    quiet: bool,
) -> None:
    """Compare IMAGE with the limits in [budget] of slimpack.toml, and name the culprits.

    IMAGE is an OCI layout folder, a tar of one, or a docker-archive; without it, 'of' under
    [budget] names it. The exit code is 11 when the image exceeds a limit.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    path = path or budget.of
    if path is None:
        raise InputError(
            "no image to check", hint="pass IMAGE, or set 'of' under [budget] in slimpack.toml"
        )
    wanted = Platform.parse(resolve(platform)) if platform else None
    image = read_image(path, wanted, ref=ref)
    baseline = read_baseline(budget.against, image) if budget.against else None
    label = ref or next(iter(image_names(path, image.digest)), path.name)
    verdict = judge(measure(image, label), budget, baseline)
    if as_json:
        click.echo(json.dumps(verdict.to_json(), indent=2))
    elif markdown:
        click.echo(_markdown(verdict))
    elif not quiet:
        click.echo(_text(verdict))
    if verdict.exceeded:
        raise VerifyError(
            f"{label} exceeds {_count(len(verdict.exceeded), 'limit')}",
            details="\n".join(f"  {line}" for line in _complaints(verdict)),
            hint="`slimpack report` shows what takes the space; slim it (docs/slimming.md), or "
            "raise the limit under [budget]",
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _complaints(verdict: Verdict) -> list[str]:
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


_HEADER = ("limit", "allowed", "actual", "percent", "")


def _notes(verdict: Verdict) -> list[str]:
    notes = []
    if verdict.absent:
        notes.append(f"not in the image: {', '.join(map(printable, verdict.absent))}")
    if verdict.baseline:
        notes.append(f"compared with {verdict.baseline}")
    return notes


def _text(verdict: Verdict) -> str:
    lines = [
        f"image     {printable(verdict.label, 200)}",
        f"digest    {verdict.digest}",
        "",
        table(_HEADER, _rows(verdict), right=(1, 2, 3)),
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(verdict))])


def _markdown(verdict: Verdict) -> str:
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
