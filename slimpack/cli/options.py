"""Options that several commands share: which environment, how it is had, and what is told."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import click

from slimpack.cli.telling import Function, Option, checked, platform_option, with_options
from slimpack.config import (
    DEFAULT_EPOCH,
    DEFAULT_GLIBC,
    Config,
    check_prefix,
    check_version,
)
from slimpack.config_file import find_config, read_config
from slimpack.env.engines import ENGINES
from slimpack.errors import InputError


def prefix_option(name: str, *names: str, help: str) -> Option:  # noqa: A002 (click's own name)
    """Return an option that says where an environment shall lie."""
    return click.option(name, *names, metavar="PATH", callback=checked(check_prefix), help=help)


config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Configuration [default: ./slimpack.toml, else ./pyproject.toml].",
)


def configuration(config_file: Path | None) -> Config:
    """Return what `config_option` names, else what the current folder has."""
    return read_config(config_file) if config_file else find_config(Path())


_SOLVING = (
    click.argument("inputs", nargs=-1, metavar="[INPUT]..."),
    click.option(
        "-c",
        "--channel",
        "channels",
        multiple=True,
        metavar="CHANNEL",
        help="Name or URL; replaces the channels of the specification. More than once for several.",
    ),
    click.option(
        "--engine", type=click.Choice(ENGINES), help="What solves and installs [default: auto]."
    ),
    click.option(
        "--glibc",
        metavar="VERSION",
        callback=checked(functools.partial(check_version, example="2.28")),
        help="Offered to the solver as __glibc [default: the image's; for locks and archives "
        f"{DEFAULT_GLIBC}, that of RHEL 8].",
    ),
    click.option(
        "--cuda",
        metavar="VERSION",
        callback=checked(functools.partial(check_version, example="12.8")),
        help="Offered to the solver as __cuda; cuda-version is held to it [default: none].",
    ),
    click.option(
        "--allow-cpu",
        "allow_cpu",
        multiple=True,
        metavar="NAME",
        help="A package whose CPU build is wanted although CUDA is; more than once for several.",
    ),
    click.option(
        "--environment",
        metavar="NAME",
        help="Which environment of a pixi.lock [default: default].",
    ),
    click.option(
        "--category",
        "categories",
        multiple=True,
        metavar="NAME",
        help="Which categories of a conda-lock.yml [default: main].",
    ),
    config_option,
)
_PROVIDING = (
    platform_option(
        "linux/amd64 or linux/arm64; `build` takes several, with commas, for an index "
        "[default: the input's, else this machine's]."
    ),
    click.option(
        "--accept-changes",
        multiple=True,
        metavar="GLOB",
        help="Changed or deleted files of an existing environment that are as you want them.",
    ),
    click.option(
        "--packages-from",
        multiple=True,
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Where packages of a lock are taken from, by their digests, before any is fetched: "
        "what a bundle brought (docs/bundle.md).",
    ),
    click.option(
        "--lock",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Write what was solved: *.txt as @EXPLICIT, *-lock.yml, or *.lock for pixi.",
    ),
)


def solving_options(function: Function) -> Function:
    """Give a command the argument INPUT... and what a solver needs; it receives `config`."""

    @functools.wraps(function)
    def command(
        inputs: tuple[str, ...],
        channels: tuple[str, ...],
        engine: str | None,
        glibc: str | None,
        cuda: str | None,
        allow_cpu: tuple[str, ...],
        environment: str | None,
        categories: tuple[str, ...],
        config_file: Path | None,
        **rest: Any,
    ) -> Any:
        config = configuration(config_file).with_env(
            inputs=inputs or None,
            channels=channels or None,
            engine=engine,
            glibc=glibc,
            cuda=cuda,
            allow_cpu=allow_cpu or None,
            environment=environment,
            categories=categories or None,
        )
        return function(config=config, **rest)

    return with_options(_SOLVING, command)


def environment_options(function: Function) -> Function:
    """Give a command the options of `solving_options` and those of an environment in hand."""

    @functools.wraps(function)
    def command(
        config: Config,
        platform: str | None,
        accept_changes: tuple[str, ...],
        packages_from: tuple[Path, ...],
        lock: Path | None,
        **rest: Any,
    ) -> Any:
        config = config.with_env(
            platforms=tuple(platform.split(",")) if platform else None,
            accept_changes=accept_changes or None,
            packages_from=packages_from or None,
            lock=lock,
        )
        return function(config=config, **rest)

    return solving_options(with_options(_PROVIDING, command))


def epoch() -> int:
    """Return SOURCE_DATE_EPOCH (reproducible-builds.org), else a fixed date."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return DEFAULT_EPOCH
    if not text.isdecimal() or int(text) >= 1 << 33:
        raise InputError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970 up to {(1 << 33) - 1}, got {text!r}",
            hint="unset it, or set it to what `git log -1 --format=%ct` prints",
        )
    return int(text)
