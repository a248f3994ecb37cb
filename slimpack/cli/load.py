"""``slimpack load``."""

from __future__ import annotations

import json

import click

from slimpack.cli.images import image_options
from slimpack.cli.telling import telling_options
from slimpack.daemon import AUTO, ENGINES, choose
from slimpack.oci.image import Image
from slimpack.progress import Progress
from slimpack.sources import Source, image_names


@click.command("load", short_help="Load an image into Docker, podman or containerd.")
@image_options
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name in the engine.")
@click.option(
    "--engine",
    type=click.Choice((AUTO, *ENGINES)),
    default=AUTO,
    show_default=True,
    help="Which one; auto takes the one that DOCKER_HOST, CONTAINER_HOST or CONTAINERD_ADDRESS "
    "names, else the first that answers.",
)
@telling_options("Print only the image's id.")
def load_command(
    source: Source,
    image: Image,
    ref: str,
    tags: tuple[str, ...],
    engine: str,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Load IMAGE into a container engine, also into one that cannot unpack zstd.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG. Every
    layer is checked against its digests on the way; what the engine has is not
    sent again.
    """
    names = tags or ((ref,) if ref else image_names(source, image.digest))
    sink = choose(engine)
    image_id = sink.load(image, names, progress=progress)
    if as_json:
        answer = {"engine": sink.name, "image_id": image_id, "references": names}
        click.echo(json.dumps(answer, indent=2))
        return
    told = [f"engine    {sink.name}", f"image id  {image_id}", *(f"tag       {n}" for n in names)]
    click.echo(image_id if quiet else "\n".join(told))
