"""``slimpack budget``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from slimpack.budget.judge import Verdict, judge
from slimpack.budget.measure import Measured, is_report, measure, read_report
from slimpack.cli.budget_text import complaints, in_markdown, in_text
from slimpack.cli.images import all_of, here
from slimpack.cli.options import config_option, configuration
from slimpack.cli.telling import (
    Function,
    insecure_option,
    platform_option,
    telling_options,
    with_options,
)
from slimpack.config import BudgetConfig
from slimpack.errors import InputError, VerifyError
from slimpack.oci.image import Image
from slimpack.oci.index import images_of
from slimpack.oci.read import image_names
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.sizes import parse_growth, parse_size
from slimpack.sources import Source, image_source

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
    click.option(
        "--max-files",
        "files",
        type=click.IntRange(0),
        metavar="N",
        help="Number of files, of all layers together.",
    ),
    click.option(
        "--max-layers",
        "layers",
        type=click.IntRange(0),
        metavar="N",
        help="Number of layers, those of the base included.",
    ),
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
@click.argument("text", metavar="[IMAGE]", required=False)
@_limit_options
@platform_option("Only this one of several, like linux/amd64 [default: each of them].")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@insecure_option
@click.option("--markdown", is_flag=True, help="As Markdown, for the summary of a CI job.")
@telling_options("Print nothing but what is exceeded.")
def budget_command(
    text: str | None,
    budget: BudgetConfig,
    platform: str | None,
    ref: str,
    insecure: bool,
    markdown: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Compare IMAGE with the limits in [budget] of slimpack.toml, and name the culprits.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG;
    without it, 'of' under [budget] names it. The exit code is 11 when it exceeds a limit.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    text = text or budget.of
    if not text:
        raise InputError(
            "no image to check", hint="pass IMAGE, or set 'of' under [budget] in slimpack.toml"
        )
    verdicts = []
    with Registries(insecure=insecure) as registries:
        source = image_source(text)
        target = all_of(source, registries, progress, platform, ref)
        prefetch(target, registries, progress)
        name, images = ref or _name(source, target.digest), images_of(target)
        for image in images:
            label = f"{name} for {image.platform}" if len(images) > 1 else name
            baseline = _baseline(budget.against, image, registries, progress)
            verdicts.append(judge(measure(image, label), budget, baseline))
    _show(verdicts, quiet=quiet, as_json=as_json, markdown=markdown)
    exceeded = [verdict for verdict in verdicts if verdict.exceeded]
    if exceeded:
        raise VerifyError(
            " and ".join(
                f"{one.label} exceeds {_count(len(one.exceeded), 'limit')}" for one in exceeded
            ),
            details="\n".join(f"  {line}" for one in exceeded for line in complaints(one)),
            hint="`slimpack report` shows what takes the space; slim it (docs/slimming.md), or "
            "raise the limit under [budget]",
        )


def _name(source: Source, digest: str) -> str:
    if not isinstance(source, Path):
        return str(source)
    return next(iter(image_names(source, digest)), source.name)


def _baseline(
    text: str | None, image: Image, registries: Registries, progress: Progress
) -> Measured | None:
    if text is None:
        return None
    source = image_source(text)
    if isinstance(source, Path) and is_report(source):
        return read_report(source)
    return measure(here(source, registries, progress, image.platform), text)


def _show(verdicts: Sequence[Verdict], *, quiet: bool, as_json: bool, markdown: bool) -> None:
    if as_json:
        told = [verdict.to_json() for verdict in verdicts]
        several = {"version": 1, "ok": all(one["ok"] for one in told), "images": told}
        click.echo(json.dumps(told[0] if len(told) == 1 else several, indent=2))
    elif markdown:
        click.echo("\n\n".join(map(in_markdown, verdicts)))
    elif not quiet:
        click.echo("\n\n".join(map(in_text, verdicts)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
