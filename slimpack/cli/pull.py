"""``slimpack pull``."""

from __future__ import annotations

import json

import click

from slimpack.cache import default_cache
from slimpack.cli.images import reference
from slimpack.cli.outputs import check_form
from slimpack.cli.telling import insecure_option, platform_option, telling_options
from slimpack.deliver import deliver
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.index import images_of
from slimpack.outputs import Outputs
from slimpack.platforms import resolve
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.sources import image_names, open_deliverable


@click.command("pull", short_help="Copy an image from a registry to this machine.")
@click.argument("text", metavar="REF")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    required=True,
    metavar="PATH",
    help="FILE.tar (OCI layout and docker-archive at once) or FOLDER/ (OCI layout).",
)
@platform_option("Only this one of several, like linux/amd64 [default: all of them].")
@insecure_option
@telling_options("Print only the digest.")
def pull_command(
    text: str,
    outputs: tuple[str, ...],
    platform: str | None,
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Copy the image REF (HOST/REPOSITORY:TAG), with all its platforms, to files.

    It is the same byte for byte: its digest stays. What was downloaded before, by this
    command or as a base, is not downloaded again.
    """
    for output in outputs:
        check_form(output)
    source = reference(text)
    wanted = Platform.parse(resolve(platform)) if platform else None
    with Registries(insecure=insecure) as registries:
        blobs = BlobStore(default_cache().blobs)
        image = open_deliverable(
            source, registries, blobs=blobs, platform=wanted, progress=progress
        )
        prefetch(image, registries, progress)
        names = image_names(source, image.digest)
        deliver(image, names, Outputs(paths=outputs), progress)
    platforms = [str(one.platform) for one in images_of(image)]
    if as_json:
        found = {"digest": image.digest, "platforms": platforms, "outputs": outputs}
        click.echo(json.dumps(found, indent=2))
    elif quiet:
        click.echo(image.digest)
    else:
        lines = [f"digest    {image.digest}", f"platform  {', '.join(platforms)}"]
        click.echo("\n".join([*lines, *(f"written   {output}" for output in outputs)]))
