"""``slimpack build``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from slimpack.build import DEFAULT_EPOCH, Outputs, build
from slimpack.cache import default_cache
from slimpack.cli.progress import choose, progress_option
from slimpack.cli.table import megabytes, table
from slimpack.config import COMPRESSIONS, check_prefix, find_config, read_config
from slimpack.errors import InputError
from slimpack.result import BuildResult


def _prefix(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            check_prefix(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return value


@click.command("build")
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name of the image.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="PATH",
    help="FILE.tar (OCI layout and docker-archive at once) or FOLDER/ (OCI layout).",
)
@click.option("--load", is_flag=True, help="Load the image into the Docker engine.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file [default: ./slimpack.toml or ./pyproject.toml].",
)
@click.option("-c", "--channel", "channels", multiple=True, help="Channels instead of the spec's.")
@click.option("--platform", help="linux/amd64 or linux/arm64 [default: this machine's].")
@click.option("--runtime", help="A runtime's name or .toml file (see `slimpack runtime list`).")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="OCI layout or docker-archive on disk instead of the runtime's base.",
)
@click.option("--prefix", callback=_prefix, help="Where the environment lies in the image.")
@click.option("--layers", type=click.IntRange(1, 120), help="At most so many layers.")
@click.option("--compression", type=click.Choice(COMPRESSIONS), help="Of the layers.")
@click.option("--level", type=click.IntRange(1, 22), help="Compression level.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path),
    help="Write the solved environment: FILE.txt as @EXPLICIT, else a pixi.lock.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's digest.")
@click.option("--json", "as_json", is_flag=True, help="Result and progress as JSON.")
@progress_option
def build_command(
    spec: Path | None,
    tags: tuple[str, ...],
    outputs: tuple[str, ...],
    load: bool,
    config_file: Path | None,
    channels: tuple[str, ...],
    platform: str | None,
    runtime: str | None,
    base: Path | None,
    prefix: str | None,
    layers: int | None,
    compression: str | None,
    level: int | None,
    lock: Path | None,
    quiet: bool,
    as_json: bool,
    style: str,
) -> None:
    """Build an image from SPEC: an environment.yml, a pixi.lock or an @EXPLICIT list.

    What is not given here comes from slimpack.toml, or [tool.slimpack] in
    pyproject.toml, in the current folder.
    """
    if not (outputs or load):
        raise click.UsageError("nowhere to put the image: pass --output PATH or --load")
    config = read_config(config_file) if config_file else find_config(Path())
    config = config.with_env(
        spec=spec, channels=channels or None, platform=platform, lock=lock
    ).with_image(
        references=tags or None,
        runtime=runtime,
        base=base,
        prefix=prefix,
        layers=layers,
        compression=compression,
        compression_level=level,
    )
    result = build(
        config,
        Outputs(paths=outputs, load=load),
        cache=default_cache(),
        progress=choose(style, quiet=quiet, as_json=as_json),
        epoch=_epoch(),
    )
    _show(result, quiet=quiet, as_json=as_json)


def _epoch() -> int:
    """Return SOURCE_DATE_EPOCH (reproducible-builds.org), else a fixed date."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return DEFAULT_EPOCH
    if not text.isdecimal() or int(text) >= 1 << 33:
        raise InputError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970 up to {(1 << 33) - 1}, got {text!r}"
        )
    return int(text)


def _show(result: BuildResult, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**asdict(result), "unpacked": result.unpacked}, indent=2))
    elif quiet:
        click.echo(result.digest)
    else:
        click.echo(_summary(result))


def _summary(result: BuildResult) -> str:
    rows = [
        (layer.name, str(layer.files), megabytes(layer.unpacked), megabytes(layer.compressed))
        for layer in result.layers
    ]
    rows.append(("total", str(result.files), megabytes(result.unpacked), megabytes(result.size)))
    stages = [(name, f"{seconds:.1f}") for name, seconds in result.stages]
    stages.append(("together", f"{sum(seconds for _, seconds in result.stages):.1f}"))
    code = result.bytecode
    lines = [
        "",
        table(("layer", "files", "unpacked MB", "compressed MB"), rows, right=(1, 2, 3)),
        "",
        table(("stage", "seconds"), stages, right=(1,)),
        "",
        f"packages  {result.packages}",
        f"bytecode  {code.kept + code.moved} files kept, {code.compiled} compiled",
        f"platform  {result.platform}",
        f"digest    {result.digest}",
    ]
    if result.references:
        lines.append(f"tags      {', '.join(result.references)}")
    lines += [f"written   {path}" for path in result.outputs]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)
