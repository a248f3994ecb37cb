"""The argument IMAGE and what chooses one image of several."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from slimpack.cli.options import Function, platform_option, with_options
from slimpack.oci.config import Platform
from slimpack.oci.read import read_image
from slimpack.platforms import resolve

_OPTIONS = (
    click.argument("path", metavar="IMAGE", type=click.Path(path_type=Path)),
    platform_option("Which image of several, like linux/amd64."),
    click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name."),
)


def image_options(function: Function) -> Function:
    """Give a command IMAGE, --platform and --ref; it receives `path`, `image` and `ref`."""

    @functools.wraps(function)
    def command(path: Path, platform: str | None, ref: str, **rest: Any) -> Any:
        wanted = Platform.parse(resolve(platform)) if platform else None
        return function(path=path, image=read_image(path, wanted, ref=ref), ref=ref, **rest)

    return with_options(_OPTIONS, command)
