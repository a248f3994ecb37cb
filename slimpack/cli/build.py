"""``slimpack build``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from slimpack.build import Outputs, build
from slimpack.cache import default_cache
from slimpack.cli.options import environment_options, epoch, prefix_value
from slimpack.cli.progress import choose, progress_option
from slimpack.cli.table import megabytes, package_count, table
from slimpack.config import COMPRESSIONS, Config
from slimpack.result import BuildResult


@click.command("build")
@environment_options
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
@click.option("--runtime", help="A runtime's name or .toml file (see `slimpack runtime list`).")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="OCI layout or docker-archive on disk instead of the runtime's base.",
)
@click.option("--prefix", callback=prefix_value, help="Where the environment lies in the image.")
@click.option("--layers", type=click.IntRange(1, 120), help="At most so many layers.")
@click.option("--compression", type=click.Choice(COMPRESSIONS), help="Of the layers.")
@click.option("--level", type=click.IntRange(1, 22), help="Compression level.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's digest.")
@click.option("--json", "as_json", is_flag=True, help="Result and progress as JSON.")
@progress_option
def build_command(
    config: Config,
    tags: tuple[str, ...],
    outputs: tuple[str, ...],
    load: bool,
    runtime: str | None,
    base: Path | None,
    prefix: str | None,
    layers: int | None,
    compression: str | None,
    level: int | None,
    quiet: bool,
    as_json: bool,
    style: str,
) -> None:
    """Build an image from INPUT.

    INPUT is an environment.yml, a pixi.lock, a conda-lock.yml, an @EXPLICIT list, a
    pixi.toml or pyproject.toml with its lock beside it, an existing environment's
    folder, a conda-pack archive, or match specs. What is not given here comes from
    slimpack.toml, or [tool.slimpack] in pyproject.toml, in the current folder.
    """
    if not (outputs or load):
        raise click.UsageError("nowhere to put the image: pass --output PATH or --load")
    config = config.with_image(
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
        epoch=epoch(),
    )
    _show(result, quiet=quiet, as_json=as_json)


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
        f"input     {result.source}",
        f"packages  {package_count(result.packages, result.pypi)}",
        f"bytecode  {code.kept + code.moved} files kept, {code.compiled} compiled",
        f"platform  {result.platform}",
        f"digest    {result.digest}",
    ]
    if result.references:
        lines.append(f"tags      {', '.join(result.references)}")
    lines += [f"written   {path}" for path in result.outputs]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)
