"""Options that several verbs share: which environment, and how it is had."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from slimpack.build import DEFAULT_EPOCH
from slimpack.config import Config, check_prefix
from slimpack.config_file import find_config, read_config
from slimpack.env.engine import ENGINES
from slimpack.errors import InputError

Function = Callable[..., Any]


def prefix_value(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Check an option that says where an environment shall lie."""
    if value is not None:
        try:
            check_prefix(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return value


_OPTIONS = (
    click.argument("inputs", nargs=-1, metavar="[INPUT]..."),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="Configuration file [default: ./slimpack.toml or ./pyproject.toml].",
    ),
    click.option(
        "-c", "--channel", "channels", multiple=True, help="Channels instead of the spec's."
    ),
    click.option("--platform", help="linux/amd64 or linux/arm64 [default: this machine's]."),
    click.option("--engine", type=click.Choice(ENGINES), help="What solves and installs."),
    click.option("--cuda", metavar="VERSION", help="Offered to the solver as __cuda."),
    click.option("--glibc", metavar="VERSION", help="Offered to the solver as __glibc."),
    click.option("--environment", metavar="NAME", help="Which environment of a pixi.lock."),
    click.option(
        "--category",
        "categories",
        multiple=True,
        metavar="NAME",
        help="Which categories of a conda-lock.yml [default: main].",
    ),
    click.option(
        "--accept-changes",
        multiple=True,
        metavar="GLOB",
        help="Changed or deleted files of an existing prefix that are as you want them.",
    ),
    click.option(
        "--lock",
        type=click.Path(path_type=Path),
        help="Write what was solved: FILE.txt as @EXPLICIT, else a pixi.lock.",
    ),
)


def environment_options(function: Function) -> Function:
    """Give a command the argument INPUT... and its options; it receives them as `config`."""

    @functools.wraps(function)
    def command(
        inputs: tuple[str, ...],
        config_file: Path | None,
        channels: tuple[str, ...],
        platform: str | None,
        engine: str | None,
        cuda: str | None,
        glibc: str | None,
        environment: str | None,
        categories: tuple[str, ...],
        accept_changes: tuple[str, ...],
        lock: Path | None,
        **rest: Any,
    ) -> Any:
        config: Config = read_config(config_file) if config_file else find_config(Path())
        config = config.with_env(
            inputs=inputs or None,
            channels=channels or None,
            platform=platform,
            engine=engine,
            cuda=cuda,
            glibc=glibc,
            environment=environment,
            categories=categories or None,
            accept_changes=accept_changes or None,
            lock=lock,
        )
        return function(config=config, **rest)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def epoch() -> int:
    """Return SOURCE_DATE_EPOCH (reproducible-builds.org), else a fixed date."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return DEFAULT_EPOCH
    if not text.isdecimal() or int(text) >= 1 << 33:
        raise InputError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970 up to {(1 << 33) - 1}, got {text!r}"
        )
    return int(text)
