"""``slimpack inspect``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from slimpack.cli.images import image_options
from slimpack.cli.table import megabytes, printable, table
from slimpack.inspection import Inspection, inspect_image
from slimpack.oci.image import Image
from slimpack.sources import Source


@click.command("inspect", short_help="Show what an image consists of.")
@image_options
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def inspect_command(source: Source, image: Image, ref: str, as_json: bool) -> None:
    """Show layers, packages, sizes and configuration of IMAGE.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG.
    """
    found = inspect_image(image)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else _text(found))


def _text(found: Inspection) -> str:
    layers = [
        (
            str(layer.number),
            printable(layer.name),
            str(layer.files),
            megabytes(layer.unpacked),
            megabytes(layer.compressed),
            layer.digest.partition(":")[2][:12],
        )
        for layer in found.layers
    ]
    packages = [
        (printable(package.name), printable(package.version), printable(package.build),
         package.kind, str(package.layer),
         megabytes(package.size))
        for package in sorted(found.packages, key=lambda package: -package.size)
    ]  # fmt: skip
    lines = [
        f"digest    {found.digest}",
        f"image id  {found.image_id}",
        f"platform  {found.platform}",
        f"size      {megabytes(found.compressed)} MB compressed, "
        f"{megabytes(found.unpacked)} MB unpacked",
        "",
        table(
            ("layer", "name", "files", "unpacked MB", "compressed MB", "digest"),
            layers,
            right=(0, 2, 3, 4),
        ),
        "",
        table(("package", "version", "build", "kind", "layer", "MB"), packages, right=(4, 5)),
        "",
        *_config(found),
    ]
    return "\n".join(lines)


def _config(found: Inspection) -> list[str]:
    lines = []
    for key, value in sorted(found.config.items()):
        if isinstance(value, list) and key == "Env":
            lines += [f"{key:<14}{item}" for item in value]
        elif isinstance(value, dict):
            lines += [f"{key:<14}{name} {item or ''}".rstrip() for name, item in value.items()]
        else:
            lines.append(f"{key:<14}{json.dumps(value) if isinstance(value, list) else value}")
    return [printable(line, 2000) for line in lines]
