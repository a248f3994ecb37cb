"""Options of ``slimpack bundle create`` for what goes in beside images."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from slimpack.bundling.payload import Payload
from slimpack.cli.telling import Function, with_options

_OPTIONS = (
    click.option(
        "--with-packages",
        "packages",
        is_flag=True,
        help="Also the conda packages of all locks, as a channel, and the wheels, as a wheelhouse: "
        "for building again, with --packages-from.",
    ),
    click.option(
        "--lock",
        "locks",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A lock to put in, beside those of what is built; more than once for several.",
    ),
    click.option(
        "--with-archives",
        "archives",
        is_flag=True,
        help="Also a portable archive of each environment that is built.",
    ),
    click.option(
        "--with-slimpack",
        "slimpack",
        is_flag=True,
        help="Also slimpack itself, as wheels for an offline pip install.",
    ),
    click.option(
        "--slimpack-python",
        "python",
        metavar="VERSION",
        default="",
        help="For which Python these wheels are, such as 3.11 [default: as here].",
    ),
    click.option(
        "--installer",
        is_flag=True,
        help="Also install.sh, which checks the bundle and loads its images with sh alone; it is "
        "written beside the bundle, too, as FILE.sh.",
    ),
)


def payload_options(function: Function) -> Function:
    """Give a command these options; it receives `payload` (without platforms) and `installer`."""

    @functools.wraps(function)
    def command(
        *,
        packages: bool,
        locks: tuple[Path, ...],
        archives: bool,
        slimpack: bool,
        python: str,
        **rest: Any,
    ) -> Any:
        payload = Payload(packages, locks, archives, slimpack or bool(python), python)
        return function(payload=payload, **rest)

    return with_options(_OPTIONS, command)


def script_path(output: Path) -> Path:
    """Return where the installer is written beside a bundle: ``site.slimpack.sh``."""
    return output.with_suffix(".sh")


def write_script(output: Path, script: bytes) -> Path:
    """Write the installer beside the bundle `output`, for everybody to run."""
    from slimpack.files import atomic_file

    path = script_path(output)
    with atomic_file(path) as stream:
        stream.write(script)
        Path(stream.name).chmod(0o755)
    return path
