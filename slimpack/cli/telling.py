"""Options of many commands that need nothing of slimpack, and so cost no time to import."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from slimpack.cli.progress import STYLES, choose

SBOMS = ("cyclonedx", "spdx")
"""Formats, by the names of `slimpack.attestation`, whose libraries take a while to import."""

Function = Callable[..., Any]
Option = Callable[[Function], Function]


def checked(check: Callable[[str], None]) -> Callable[..., str | None]:
    """Return click's callback for an option whose value `check` refuses with a ValueError."""

    def callback(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> str | None:
        if value is not None:
            try:
                check(value)
            except ValueError as error:
                raise click.BadParameter(str(error)) from error
        return value

    return callback


def platform_option(text: str, **settings: Any) -> Option:
    """Return an option that says for which platform."""
    return click.option("--platform", metavar="OS/ARCH", help=text, **settings)


insecure_option = click.option(
    "--insecure",
    is_flag=True,
    help="Accept plain HTTP and certificates that nobody vouches for; this machine's own "
    "registries need no option for plain HTTP.",
)


def _sbom_formats(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[str, ...]:
    """Read ``cyclonedx,spdx``; a usage error for anything else."""
    names = tuple(dict.fromkeys(name.strip() for name in (value or "").split(",") if name.strip()))
    for name in names:
        if name not in SBOMS:
            raise click.BadParameter(
                f"{name!r} is not one of {', '.join(SBOMS)}", context, parameter
            )
    return names


sbom_option = click.option(
    "--sbom",
    "sboms",
    callback=_sbom_formats,
    default="",
    metavar="FORMATS",
    help=f"Bills of materials to make: {', '.join(SBOMS)}, with commas between.",
)


def with_options(options: Sequence[Option], function: Function) -> Function:
    """Give a function several options at once, in the order in which --help lists them."""
    for option in reversed(options):
        function = option(function)
    return function


def telling_options(quiet: str) -> Option:
    """Give a command -q, --json and --progress; it receives `quiet`, `as_json`, `progress`.

    quiet: what is printed all the same.
    """
    options = (
        click.option("-q", "--quiet", is_flag=True, help=quiet),
        click.option(
            "--json", "as_json", is_flag=True, help="Result as JSON on stdout, progress on stderr."
        ),
        click.option(
            "--progress",
            "style",
            type=click.Choice(STYLES),
            default="auto",
            help="How to tell of progress, on stderr [default: bars on a terminal, else lines].",
        ),
    )

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*, quiet: bool, as_json: bool, style: str, **rest: Any) -> Any:
            progress = choose(style, quiet=quiet, as_json=as_json)
            return function(quiet=quiet, as_json=as_json, progress=progress, **rest)

        return with_options(options, command)

    return decorate
