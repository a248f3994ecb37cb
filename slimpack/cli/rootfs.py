"""``slimpack rootfs``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from slimpack.cli.images import image_options
from slimpack.cli.outputs import check_not_stdout, root_format
from slimpack.cli.table import megabytes
from slimpack.cli.telling import telling_options
from slimpack.errors import InputError
from slimpack.hpc.write import root_packing, write_folder, write_root
from slimpack.oci.compress import Name
from slimpack.oci.image import Image
from slimpack.outputs import ROOT_FORMATS, RootFile, RootOutput
from slimpack.progress import Progress
from slimpack.sources import Source


@click.command("rootfs", short_help="Write an image's root file system for Apptainer or enroot.")
@image_options
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    help="FILE.sqsh or FILE.squashfs (squashfs), FILE.sif, or FOLDER/ (the files themselves).",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(ROOT_FORMATS),
    help="What --output is [default: by its name].",
)
@click.option(
    "--compression",
    type=click.Choice(("zstd", "gzip")),
    default="zstd",
    help="Of a squashfs or SIF [default: zstd]; gzip for kernels before 4.14.",
)
@click.option(
    "--level",
    type=click.IntRange(1, 22),
    metavar="N",
    help="Compression level [default: zstd 9, gzip 6].",
)
@telling_options("Print only the file's SHA-256.")
def rootfs_command(
    source: Source,
    image: Image,
    ref: str,
    output: str,
    format_: str | None,
    compression: Name,
    level: int | None,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Write all layers of IMAGE as one root file system.

    IMAGE is an OCI layout, a docker-archive, or a reference in a registry. With it
    go the files that Apptainer and enroot read of its configuration (docs/hpc.md).
    """
    written = _write(image, output, format_, compression, level, progress)
    if as_json:
        click.echo(json.dumps({**asdict(written), "digest": image.digest}, indent=2))
    elif quiet:
        click.echo(written.sha256)
    else:
        click.echo(_summary(written, image))


def _write(
    image: Image,
    output: str,
    format_: str | None,
    compression: Name,
    level: int | None,
    progress: Progress,
) -> RootFile:
    if format_ is None and (output.endswith("/") or Path(output).is_dir()):
        return write_folder(image, output, progress=progress)
    check_not_stdout(output)
    form = root_format(output, format_)
    if not form:
        raise InputError(
            f"{output}: a .tar holds an image",
            hint="end the name with .sqsh, .sif or / (a folder); `slimpack pull` copies images",
        )
    packing = root_packing(compression, level)
    return write_root(image, RootOutput(output, form), packing, progress=progress)


def _summary(written: RootFile, image: Image) -> str:
    lines = [
        f"digest    {image.digest}",
        f"platform  {image.platform}",
        f"written   {written.path} ({written.format}, {megabytes(written.size)} MB)",
        *([f"sha256    {written.sha256}"] if written.sha256 else []),
        *(f"note: {note}" for note in written.notes),
    ]
    return "\n".join(lines)
