"""``slimpack bundle inventory``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from slimpack.bundle.inventory import Inventory
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.stock import bundle_inventory, layout_inventory, merged, registry_inventory
from slimpack.cli.images import reference
from slimpack.cli.table import megabytes
from slimpack.cli.telling import insecure_option, telling_options
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.names import split_name
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference

_FORMS = "registry=HOST/REPOSITORY[:TAG], layout=FOLDER, or a bundle"


@click.command("inventory", short_help="Write down what a registry, layout or bundle has.")
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the inventory goes.",
)
@insecure_option
@telling_options("Print nothing.")
def inventory_command(
    places: Sequence[str],
    output: Path,
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Write down the images and blobs that the far side has, for `bundle create --since`.

    PLACE is registry=HOST/REPOSITORY[:TAG] (all tags without one), layout=FOLDER, or a bundle
    that was applied there.
    """
    with Registries(insecure=insecure) as registries:
        found = merged(_inventory(place, registries, progress) for place in places)
    with atomic_file(output) as out:
        out.write(found.to_json())
    result: dict[str, Any] = {
        "path": str(output),
        "images": len(found.images),
        "blobs": len(found.blobs),
        "size": sum(blob.size for blob in found.blobs),
        "created": found.created,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif not quiet:
        click.echo(
            f"{output}: {result['images']} images, {result['blobs']} blobs, "
            f"{megabytes(result['size'])} MB"
        )


def _inventory(place: str, registries: Registries, progress: Progress) -> Inventory:
    kind, equals, value = place.partition("=")
    if kind == "registry" and value:
        return registry_inventory([_repository(value)], registries, progress)
    if kind == "layout" and value:
        return layout_inventory(Path(value), progress)
    if not equals or Path(place).exists():
        return bundle_inventory(open_bundle(Path(place)))
    raise InputError(f"{place[:300]!r} has no inventory", hint=f"give {_FORMS}")


def _repository(text: str) -> Reference:
    """Read a reference; without a tag it is the whole repository."""
    found = reference(text)
    if found.digest or split_name(text.partition("@")[0])[2]:
        return found
    return Reference(found.host, found.repository)
