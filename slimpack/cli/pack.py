"""``slimpack pack``."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from slimpack.archive.formats import FORMATS, Packing, Payload, format_of
from slimpack.cache import default_cache
from slimpack.cli.options import environment_options, epoch, prefix_value
from slimpack.cli.progress import choose, progress_option
from slimpack.cli.table import megabytes, package_count, table
from slimpack.config import Config
from slimpack.pack import PackResult, pack


@click.command("pack")
@environment_options
@click.option(
    "-o", "--output", metavar="PATH", required=True, help="The archive; its name tells the format."
)
@click.option(
    "--format", "format_", metavar="FORMAT", help=f"{', '.join(FORMATS)} [default: by the name]."
)
@click.option("--level", type=int, help="Compression level [default: zstd 9, gzip 6].")
@click.option("-j", "--threads", type=int, default=-1, help="Compressing threads [default: all].")
@click.option(
    "--dest-prefix",
    callback=prefix_value,
    help="Write this prefix at once: the archive then works there and nowhere else.",
)
@click.option("--arcroot", metavar="FOLDER", help="Folder inside the archive [default: none].")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches.")
@click.option("--include", multiple=True, metavar="GLOB", help="Keep what matches all the same.")
@click.option("--no-bytecode", is_flag=True, help="Ship no .pyc files: smaller, slower to start.")
@click.option("--zip-symlinks", is_flag=True, help="Zip only: store links as links.")
@click.option(
    "--payload",
    type=click.Choice(get_args(Payload)),
    default="gzip",
    help="How the tar in a self-extracting .sh is compressed [default: gzip].",
)
@click.option("-f", "--force", is_flag=True, help="Replace what is at PATH.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the archive's SHA-256.")
@click.option("--json", "as_json", is_flag=True, help="Result and progress as JSON.")
@progress_option
def pack_command(
    config: Config,
    output: str,
    format_: str | None,
    level: int | None,
    threads: int,
    dest_prefix: str | None,
    arcroot: str | None,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    no_bytecode: bool,
    zip_symlinks: bool,
    payload: Payload,
    force: bool,
    quiet: bool,
    as_json: bool,
    style: str,
) -> None:
    """Pack INPUT into a portable archive, in the layout of conda-pack.

    INPUT is what `slimpack build` takes. Unpack the archive anywhere and run
    bin/conda-unpack there, or let `slimpack unpack` do both; a .sh does it by itself.
    """
    config = config.with_pack(
        dest_prefix=dest_prefix,
        arcroot=_arcroot(arcroot),
        exclude=exclude or None,
        include=include or None,
        bytecode=False if no_bytecode else None,
    )
    packing = Packing(
        format=format_of(output, format_),
        level=level,
        threads=threads,
        zip_symlinks=zip_symlinks,
        payload=payload,
    )
    result = pack(
        config,
        Path(output),
        packing,
        cache=default_cache(),
        epoch=epoch(),
        name=_name(output),
        force=force,
        progress=choose(style, quiet=quiet, as_json=as_json),
    )
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    else:
        click.echo(result.sha256 if quiet else _summary(result))


def _arcroot(value: str | None) -> str | None:
    if value is None:
        return None
    folder = value.strip("/")
    if folder and any(part in ("", ".", "..") for part in folder.split("/")):
        raise click.BadParameter("expected a relative folder such as 'env'", param_hint="--arcroot")
    return folder


def _name(output: str) -> str:
    """Return what an archive's environment is called: its name without what tells the format."""
    stem = re.sub(r"(\.tar)?\.[A-Za-z0-9]+\Z", "", Path(output).name)
    return re.sub(r"[^A-Za-z0-9._+-]", "-", stem).lstrip("-.") or "env"


def _summary(result: PackResult) -> str:
    stages = [(name, f"{seconds:.1f}") for name, seconds in result.stages]
    stages.append(("together", f"{sum(seconds for _, seconds in result.stages):.1f}"))
    code = result.bytecode
    lines = [
        "",
        table(("stage", "seconds"), stages, right=(1,)),
        "",
        f"input     {result.source}",
        f"packages  {package_count(result.packages, result.pypi)}",
        f"files     {result.files}, {megabytes(result.unpacked)} MB; "
        f"{result.rewrites} to rewrite where it is unpacked",
        f"bytecode  {code.kept + code.moved} files kept, {code.compiled} compiled",
        f"platform  {result.platform}",
        f"written   {result.output} ({result.format}, {megabytes(result.size)} MB)",
    ]
    if result.sha256:
        lines.append(f"sha256    {result.sha256}")
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)
