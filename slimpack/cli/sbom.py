"""``slimpack sbom``."""

from __future__ import annotations

from pathlib import Path

import click

from slimpack.attestation import FORMS, SBOMS, documents_of
from slimpack.cli.images import image_options
from slimpack.files import atomic_file
from slimpack.oci.image import Image
from slimpack.oci.read import image_names


@click.command("sbom", short_help="Write what an image is made of, as CycloneDX or SPDX.")
@image_options
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
def sbom_command(
    path: Path, image: Image, ref: str, form: str, output: Path | None, name: str
) -> None:
    """Write a bill of materials of IMAGE: packages, licences, digests, and who needs whom.

    IMAGE is an OCI layout folder, a tar of one, or a docker-archive. Everything is read from
    the image itself, so it works for any image, and the same image always gives the same
    bytes (docs/supply-chain.md).
    """
    name = name or ref or next(iter(image_names(path, image.digest)), "")
    (document,) = documents_of(image, [form], name)
    if output is None:
        click.echo(document.data.decode("utf-8"), nl=False)
        return
    with atomic_file(output) as stream:
        stream.write(document.data)
    click.echo(f"written   {output} ({FORMS[form].media_type})")
