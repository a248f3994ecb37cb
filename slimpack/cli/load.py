"""``slimpack load``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from slimpack.cli.images import image_options
from slimpack.cli.options import telling_options
from slimpack.daemon import load_into_docker
from slimpack.oci.image import Image
from slimpack.oci.read import image_names
from slimpack.progress import Progress


@click.command("load", short_help="Load an image into the Docker engine.")
@image_options
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name in the engine.")
@telling_options("Print only the image's id.")
def load_command(
    path: Path,
    image: Image,
    ref: str,
    tags: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Load IMAGE into the Docker engine, also into one that cannot unpack zstd.

    IMAGE is an OCI layout folder, a tar of one, or a docker-archive. Every
    layer is checked against its digests on the way.
    """
    names = tags or ((ref,) if ref else image_names(path, image.digest))
    image_id = load_into_docker(image, names, progress=progress)
    if as_json:
        click.echo(json.dumps({"image_id": image_id, "references": names}, indent=2))
        return
    lines = [image_id] if quiet else [f"image id  {image_id}", *(f"tag       {n}" for n in names)]
    click.echo("\n".join(lines))
