"""``slimpack sbom``."""

from __future__ import annotations

from pathlib import Path

import click

from slimpack.attestation import FORMS, SBOMS, documents_of
from slimpack.cache import default_cache
from slimpack.cli.progress import choose
from slimpack.cli.telling import insecure_option, platform_option
from slimpack.files import atomic_file
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.read import image_names
from slimpack.platforms import resolve
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.sources import image_source, open_image


@click.command("sbom", short_help="Write what an image is made of, as CycloneDX or SPDX.")
@click.argument("text", metavar="IMAGE")
@platform_option("Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@click.option(
    "--format",
    "form",
    type=click.Choice(SBOMS),
    default=SBOMS[0],
    show_default=True,
    help="CycloneDX 1.6 or SPDX 2.3, both as JSON.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it there instead of printing it.",
)
@click.option(
    "--name", metavar="TEXT", default="", help="What the image is called [default: its tag]."
)
@insecure_option
def sbom_command(
    text: str,
    platform: str | None,
    ref: str,
    form: str,
    output: Path | None,
    name: str,
    insecure: bool,
) -> None:
    """Write a bill of materials of IMAGE: packages, licences, digests, and who needs whom.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or a reference in a
    registry (HOST/REPOSITORY:TAG). Everything is read from the image itself, so it works for
    any image, and the same image always gives the same bytes (docs/supply-chain.md).
    """
    source = image_source(text)
    progress = choose()
    with Registries(insecure=insecure) as registries:
        image = open_image(
            source,
            registries,
            blobs=BlobStore(default_cache().blobs),
            platform=Platform.parse(resolve(platform)) if platform else None,
            ref=ref,
            progress=progress,
        )
        prefetch(image, registries, progress)
        names = image_names(source, image.digest) if isinstance(source, Path) else (str(source),)
        (document,) = documents_of(image, [form], name or ref or next(iter(names), ""))
    if output is None:
        click.echo(document.data.decode("utf-8"), nl=False)
        return
    with atomic_file(output) as stream:
        stream.write(document.data)
    click.echo(f"written   {output} ({FORMS[form].media_type})")
