"""Options of the commands that slim, and the table of what was done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from slimpack.cli.table import megabytes, table
from slimpack.cli.telling import Function, with_options
from slimpack.config import Config
from slimpack.result import Slimmed
from slimpack.slim.ruleset import PROFILES


def slim_options(default: str) -> Callable[[Function], Function]:
    """Give a command --profile, --keep, --drop, --drop-package, --trace, --gpu-arch, --gpu-ptx.

    All go into `config`.

    default: the profile that the command takes when nothing names one.
    """
    options = (
        click.option(
            "--profile",
            type=click.Choice(PROFILES),
            help=f"How much is left out (docs/slimming.md) [default: {default}].",
        ),
        click.option(
            "--keep",
            multiple=True,
            metavar="GLOB",
            help="Paths below the prefix that stay, whatever the rules say.",
        ),
        click.option(
            "--drop", multiple=True, metavar="GLOB", help="Paths below the prefix that go too."
        ),
        click.option(
            "--drop-package",
            "drop_packages",
            multiple=True,
            metavar="NAME",
            help="Packages that go as a whole (see `slimpack why`).",
        ),
        click.option(
            "--trace",
            multiple=True,
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="What a workload opened (`slimpack trace`): for the profile traced, and what "
            "comes first with --compression zstd:chunked and estargz.",
        ),
        click.option(
            "--gpu-arch",
            multiple=True,
            metavar="ARCH",
            help="Keep GPU code for such devices only (sm_90); more than once for several.",
        ),
        click.option(
            "--gpu-ptx",
            is_flag=True,
            help="With --gpu-arch: keep what the driver compiles for newer devices too.",
        ),
    )

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(
            config: Config,
            profile: str | None,
            keep: tuple[str, ...],
            drop: tuple[str, ...],
            drop_packages: tuple[str, ...],
            trace: tuple[Path, ...],
            gpu_arch: tuple[str, ...],
            gpu_ptx: bool,
            **rest: Any,
        ) -> Any:
            slim = config.slim
            config = config.with_slim(
                profile=profile,
                keep=(*slim.keep, *keep),
                drop=(*slim.drop, *drop),
                drop_packages=(*slim.drop_packages, *drop_packages),
                trace=trace or None,
                gpu_arch=gpu_arch or None,
                gpu_ptx=gpu_ptx or None,
            )
            return function(config=config, **rest)

        return with_options(options, command)

    return decorate


def slim_table(slimmed: Slimmed, reasons: Mapping[str, str] | None = None) -> str:
    """Return what each rule took, and why if reasons are given; "" when nothing was asked for."""
    if slimmed.profile == "none" and not slimmed.rules:
        return ""
    rows = [
        (name, str(files), megabytes(size), (reasons or {}).get(name, ""))
        for name, files, size in slimmed.rules
    ]
    files = sum(files for _, files, _ in slimmed.rules)
    size = sum(size for _, _, size in slimmed.rules)
    whole = f"together, of {megabytes(slimmed.before_bytes)} MB"
    rows.append((whole, str(files), megabytes(size), ""))
    heads = (f"slimmed away ({slimmed.profile})", "files", "MB", "because" if reasons else "")
    return table(heads, rows, right=(1, 2))
