"""``slimpack report``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from slimpack.cli.images import image_options
from slimpack.cli.table import megabytes
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.image import Image
from slimpack.oci.read import image_names, read_image
from slimpack.report.checks import MAX_RESULTS, parse_checks
from slimpack.report.data import gather, to_json
from slimpack.report.imports import MAX_IMPORT_TIMES, parse_importtime
from slimpack.report.page import render
from slimpack.report.text import render_text


@click.command("report", short_help="Show what takes the space and what slimming removed.")
@image_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write one HTML page that needs no network.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON on stdout.")
@click.option(
    "--with",
    "other",
    type=click.Path(path_type=Path),
    metavar="IMAGE",
    help="Also tell which layers are shared with this image.",
)
@click.option(
    "--verify",
    "results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Include what `slimpack verify --json` wrote.",
)
@click.option(
    "--start-up",
    "import_times",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Include import times: stderr of `python -X importtime`.",
)
@click.option(
    "--name", metavar="TEXT", default="", help="What the report calls the image [default: its tag]."
)
def report_command(
    path: Path,
    image: Image,
    ref: str,
    output: Path | None,
    as_json: bool,
    other: Path | None,
    results: Path | None,
    import_times: Path | None,
    name: str,
) -> None:
    """Show what takes the space in IMAGE, what slimming removed and why, and what it is made of.

    IMAGE is an OCI layout folder, a tar of one, or a docker-archive. Without --output the
    report is printed, as wide as the terminal.
    """
    report = gather(
        image,
        name or ref or next(iter(image_names(path, image.digest)), path.name),
        other=read_image(other, image.platform) if other else None,
        other_name=other.name if other else "",
        checks=parse_checks(_content(results, MAX_RESULTS), str(results)) if results else None,
        start_up=parse_importtime(
            _content(import_times, MAX_IMPORT_TIMES).decode("utf-8", "replace"), str(import_times)
        )
        if import_times
        else None,
    )
    if output:
        page = render(report).encode()
        with atomic_file(output) as stream:
            stream.write(page)
    if as_json:
        click.echo(json.dumps(to_json(report), indent=2))
    elif output:
        click.echo(f"written   {output} ({megabytes(len(page))} MB)")
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
        click.echo(render_text(report, width, ascii_only=plain))


def _content(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise InputError(f"{path} has more than {limit} bytes")
    return data
