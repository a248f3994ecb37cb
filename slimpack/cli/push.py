"""``slimpack push`` and ``slimpack pull``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from slimpack.cache import default_cache
from slimpack.cli.images import insecure_option, taken_for
from slimpack.cli.outputs import check_form
from slimpack.cli.table import megabytes
from slimpack.cli.telling import platform_option, telling_options
from slimpack.deliver import Outputs, deliver
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.index import Deliverable, images_of
from slimpack.platforms import resolve
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.registry.push import Pushed, push
from slimpack.registry.reference import Reference
from slimpack.sources import Source, image_source, open_deliverable


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
    references = [Reference.parse(target) for target in targets]
    with Registries(insecure=insecure) as registries:
        with taken_for(source):
            image = _opened(source, registries, platform, ref, progress)
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
    reference = Reference.parse(text)
    with Registries(insecure=insecure) as registries:
        image = _opened(reference, registries, platform, "", progress)
        prefetch(image, registries, progress)
        names = [f"{reference.name}:{reference.tag}"] if reference.tag else []
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


def _opened(
    source: Source, registries: Registries, platform: str | None, ref: str, progress: Progress
) -> Deliverable:
    return open_deliverable(
        source,
        registries,
        blobs=BlobStore(default_cache().blobs),
        platform=Platform.parse(resolve(platform)) if platform else None,
        ref=ref,
        progress=progress,
    )


def _lines(pushed: Pushed) -> list[str]:
    return [
        f"digest    {pushed.digest}",
        *(f"pushed    {reference}" for reference in pushed.references),
        f"sent      {megabytes(pushed.sent)} MB; {megabytes(pushed.mounted)} MB mounted from "
        f"other repositories, {megabytes(pushed.present)} MB were there",
    ]
