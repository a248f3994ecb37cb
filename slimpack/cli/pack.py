"""``slimpack pack``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from slimpack.archive.formats import DEFAULT_FORMAT, FORMATS, Packing, Payload, format_of
from slimpack.cache import default_cache
from slimpack.cli.options import environment_options, epoch, prefix_option
from slimpack.cli.outputs import check_output, default_output, environment_name
from slimpack.cli.slimming import slim_options, slim_table
from slimpack.cli.table import megabytes, package_count, table
from slimpack.cli.telling import checked, telling_options
from slimpack.config import Config, check_arcroot
from slimpack.pack import DEFAULT_PROFILE, PackResult, pack
from slimpack.progress import Progress


# --compress-level, --n-threads and -d are what conda-pack calls them.
@click.command("pack", short_help="Pack an environment into a portable archive.")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="The archive; its name tells the format, a slash at the end a folder "
    "[default: the input's name with .tar.zst, in the current folder].",
)
@click.option(
    "--format", "format_", metavar="FORMAT", help=f"{', '.join(FORMATS)} [default: by the name]."
)
@click.option(
    "--level",
    "--compress-level",
    "level",
    type=int,
    metavar="N",
    help="Compression level [default: zstd 9, gzip 6].",
)
@click.option(
    "-j",
    "--threads",
    "--n-threads",
    "threads",
    type=int,
    metavar="N",
    default=-1,
    help="Compressing threads [default: -1, one for each core, 6 at most].",
)
@prefix_option(
    "-d",
    "--dest-prefix",
    help="Write this prefix at once: the archive then works there and nowhere else.",
)
@click.option(
    "--arcroot",
    metavar="FOLDER",
    callback=checked(check_arcroot),
    help="Folder inside the archive [default: none].",
)
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
@environment_options
@slim_options(DEFAULT_PROFILE)
@telling_options("Print only the archive's SHA-256.")
def pack_command(
    config: Config,
    output: str | None,
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
    progress: Progress,
) -> None:
    """Pack INPUT into a portable archive, in the layout of conda-pack.

    INPUT is what `slimpack build` takes. Unpack the archive anywhere and run
    bin/conda-unpack there, or let `slimpack unpack` do both; a .sh does it by itself.
    """
    config = config.with_pack(
        dest_prefix=dest_prefix,
        arcroot=None if arcroot is None else arcroot.strip("/"),
        exclude=exclude or None,
        include=include or None,
        bytecode=False if no_bytecode else None,
    )
    if output is None:
        output = default_output(config, _suffix(format_))
    check_output(output, config)
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
        name=environment_name(output),
        force=force,
        progress=progress,
    )
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    else:
        click.echo(result.sha256 if quiet else _summary(result))


def _suffix(format_: str | None) -> str:
    return "/" if format_ in ("folder", "no-archive") else f".{format_ or DEFAULT_FORMAT}"


def _summary(result: PackResult) -> str:
    stages = [(name, f"{seconds:.1f}") for name, seconds in result.stages]
    stages.append(("together", f"{sum(seconds for _, seconds in result.stages):.1f}"))
    code = result.bytecode
    lines = [
        "",
        *filter(None, [slim_table(result.slimmed)]),
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
