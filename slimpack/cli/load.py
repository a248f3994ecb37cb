"""``slimpack load``."""

from __future__ import annotations

from pathlib import Path

import click

from slimpack.cli.progress import choose
from slimpack.daemon import load_into_docker
from slimpack.oci.config import Platform
from slimpack.oci.read import image_names, read_image
from slimpack.platforms import resolve


@click.command("load")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name in the engine.")
@click.option("--platform", help="Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by its name.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's id.")
def load_command(
    image: Path, tags: tuple[str, ...], platform: str | None, ref: str, quiet: bool
) -> None:
    """Load IMAGE into the Docker engine, also into one that cannot unpack zstd.

    IMAGE is an OCI layout folder, a tar of one, or a docker-archive. Every
    layer is checked against its digests on the way.
    """
    wanted = Platform.parse(resolve(platform)) if platform else None
    found = read_image(image, wanted, ref=ref)
    names = tags or ((ref,) if ref else image_names(image, found.digest))
    click.echo(load_into_docker(found, names, progress=choose(quiet=quiet)))
