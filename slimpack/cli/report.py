"""``slimpack report``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from slimpack.cache import default_cache
from slimpack.cli.images import here, image_options
from slimpack.cli.progress import choose
from slimpack.cli.table import megabytes
from slimpack.config import VerifyConfig
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.image import Image
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.report.checks import MAX_RESULTS, Checks, parse_checks
from slimpack.report.data import gather, to_json
from slimpack.report.imports import MAX_IMPORT_TIMES, parse_importtime
from slimpack.report.page import render
from slimpack.report.text import render_text
from slimpack.sources import Source, image_names, image_source, label
from slimpack.verify.opening import open_image
from slimpack.verify.prefixes import forbidden_paths
from slimpack.verify.verifying import import_times as imports_of
from slimpack.verify.verifying import verify


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
    metavar="IMAGE",
    help="Also tell which layers are shared with this image.",
)
@click.option(
    "--run",
    is_flag=True,
    help="Verify the image now, and start it for some seconds to time its imports.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    metavar="N",
    default=15.0,
    show_default=True,
    help="How long --run lets a service run.",
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
    source: Source,
    image: Image,
    ref: str,
    output: Path | None,
    as_json: bool,
    other: str | None,
    results: Path | None,
    import_times: Path | None,
    name: str,
    run: bool,
    seconds: float,
) -> None:
    """Show what takes the space in IMAGE, what slimming removed and why, and what it is made of.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG.
    Without --output the report is printed, as wide as the terminal. Nothing is started
    without --run.
    """
    if run and (results or import_times):
        raise InputError("--run finds out what --verify and --start-up give", hint="leave one out")
    name = name or ref or next(iter(image_names(source, image.digest)), label(source))
    checks = parse_checks(_content(results, MAX_RESULTS), str(results)) if results else None
    text = _content(import_times, MAX_IMPORT_TIMES) if import_times else b""
    if run:
        checks, text = _run(image, name, seconds, choose(as_json=as_json))
    times = text.decode("utf-8", "replace")
    report = gather(
        image,
        name,
        other=_other(other, image) if other else None,
        other_name=label(image_source(other)) if other else "",
        checks=checks,
        start_up=parse_importtime(times, str(import_times or "the start of the image"))
        if text
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


def _run(image: Image, name: str, seconds: float, progress: Progress) -> tuple[Checks, bytes]:
    """Verify an image, and start it; what came of the checks, and what was said of imports."""
    cache = default_cache()
    with cache.scratch() as scratch:
        subject = open_image(image, scratch / "root", name, progress=progress)
        found = verify(
            subject,
            VerifyConfig(),
            forbidden=forbidden_paths([str(cache.root)], ()),
            progress=progress,
        )
        said = b""
        if subject.start.command:
            said = imports_of(subject, "auto", seconds=seconds, max_output=MAX_IMPORT_TIMES)
    if b"import time:" not in said:
        progress.note(f"{name} starts no Python, or one that imports nothing: no import times")
        said = b""
    return parse_checks(json.dumps(found.to_json()).encode(), name), said


def _other(text: str, image: Image) -> Image:
    """Open the image to compare with, for the same platform."""
    insecure = click.get_current_context().params["insecure"]
    with Registries(insecure=insecure) as registries:
        return here(image_source(text), registries, choose(), image.platform)


def _content(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise InputError(f"{path} has more than {limit} bytes")
    return data
