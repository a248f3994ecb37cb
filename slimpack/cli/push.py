"""``slimpack push``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from slimpack.cli.images import all_of, reference
from slimpack.cli.table import megabytes
from slimpack.cli.telling import insecure_option, platform_option, telling_options
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.push import Pushed, push
from slimpack.registry.reference import Reference
from slimpack.sources import image_source


@click.command("push", short_help="Push an image to registries.")
@click.argument("text", metavar="IMAGE")
@click.argument("targets", metavar="REF...", nargs=-1, required=True)
@platform_option("Only this one of several, like linux/amd64 [default: all of them].")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@click.option(
    "--mount-from",
    "mounts",
    multiple=True,
    metavar="REPOSITORY",
    help="HOST/REPOSITORY from which the registry may take layers, so that they do not travel; "
    "more than once for several. Where layers were pulled from is known without it.",
)
@insecure_option
@telling_options("Print only the digest.")
def push_command(
    text: str,
    targets: tuple[str, ...],
    platform: str | None,
    ref: str,
    mounts: tuple[str, ...],
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Push IMAGE to each REF (HOST/REPOSITORY:TAG), with all its platforms.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or itself in a registry.
    Only what the registry lacks is read and sent; tags are set when all is there.
    Credentials are those of `slimpack login`, docker login and podman login.
    """
    source = image_source(text)
    references = [reference(target) for target in targets]
    with Registries(insecure=insecure) as registries:
        image = all_of(source, registries, progress, platform, ref)
        pushed = push(
            image,
            references,
            registries,
            mount_from=[Reference.parse(mount) for mount in mounts],
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(asdict(pushed), indent=2))
    elif quiet:
        click.echo(pushed.digest)
    else:
        click.echo("\n".join(_lines(pushed)))


def _lines(pushed: Pushed) -> list[str]:
    return [
        f"digest    {pushed.digest}",
        *(f"pushed    {reference}" for reference in pushed.references),
        f"sent      {megabytes(pushed.sent)} MB; {megabytes(pushed.mounted)} MB mounted from "
        f"other repositories, {megabytes(pushed.present)} MB were there",
    ]
