"""``slimpack unpack``."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from slimpack.cli.table import megabytes
from slimpack.cli.telling import telling_options
from slimpack.progress import Progress
from slimpack.unpack import unpack


@click.command("unpack", short_help="Unpack a portable archive to where it then works.")
@click.argument("archive", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--prefix",
    default="",
    metavar="PATH",
    help="Where the environment will be used, if that is not DEST.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an environment that is at DEST.")
@telling_options("Print nothing when all is well.")
def unpack_command(
    archive: Path,
    dest: Path,
    prefix: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Unpack ARCHIVE to the new folder DEST and let it name its place.

    ARCHIVE is one of slimpack or conda-pack: .tar.zst, .tar.gz, .zip, .squashfs or
    a self-extracting .sh. It is checked as it is read; nothing is left when it fails.
    """
    result = unpack(archive, dest, prefix=prefix, force=force, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    elif not quiet:
        click.echo(
            f"unpacked  {result.folder} ({result.files} files, {megabytes(result.size)} MB; "
            f"{result.rewritten} rewritten)"
        )
        for note in result.notes:
            click.echo(f"note: {note}")
        click.echo(f"activate  . {shlex.quote(f'{result.prefix}/bin/activate')}")
