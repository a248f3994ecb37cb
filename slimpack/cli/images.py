"""The argument IMAGE, on this machine or in a registry, and what chooses one image of several."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from slimpack.cache import default_cache
from slimpack.cli.progress import choose
from slimpack.cli.telling import Function, insecure_option, platform_option, with_options
from slimpack.errors import InputError, RegistryError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable
from slimpack.platforms import resolve
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.registry.reference import Reference
from slimpack.sources import Source, image_source, open_deliverable, open_image

_OPTIONS = (
    click.argument("text", metavar="IMAGE"),
    platform_option("Which image of several, like linux/amd64."),
    click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name."),
    insecure_option,
)


def image_options(function: Function) -> Function:
    """Give a command IMAGE, --platform, --ref and --insecure.

    It receives `source`, `image` (with all its layers on this machine) and `ref`.
    """

    @functools.wraps(function)
    def command(text: str, platform: str | None, ref: str, insecure: bool, **rest: Any) -> Any:
        progress = choose(
            rest.get("style", "auto"),
            quiet=rest.get("quiet", False),
            as_json=rest.get("as_json", False),
        )
        source = image_source(text)
        wanted = Platform.parse(resolve(platform)) if platform else None
        with Registries(insecure=insecure) as registries:
            image = here(source, registries, progress, wanted, ref)
        return function(source=source, image=image, ref=ref, **rest)

    return with_options(_OPTIONS, command)


def here(
    source: Source,
    registries: Registries,
    progress: Progress,
    platform: Platform | None = None,
    ref: str = "",
) -> Image:
    """Open an image, and download what is not on this machine.

    Of an index in a registry it is the one for this machine unless a platform is given.
    """
    with taken_for(source):
        image = open_image(
            source,
            registries,
            blobs=BlobStore(default_cache().blobs),
            platform=platform,
            prefer=Platform.parse(resolve("")) if platform is None else None,
            ref=ref,
            progress=progress,
        )
        prefetch(image, registries, progress)
    return image


def all_of(
    source: Source,
    registries: Registries,
    progress: Progress,
    platform: str | None = None,
    ref: str = "",
) -> Deliverable:
    """Open all images that are there under one name, or the one for a platform."""
    with taken_for(source):
        return open_deliverable(
            source,
            registries,
            blobs=BlobStore(default_cache().blobs),
            platform=Platform.parse(resolve(platform)) if platform else None,
            ref=ref,
            progress=progress,
        )


def reference(text: str) -> Reference:
    """Read a reference where a command takes nothing else; a path gets a hint of its own."""
    try:
        return Reference.parse(text)
    except InputError as error:
        if Path(text).exists():
            error.hint = (
                "that is a path; an image in a registry is HOST/REPOSITORY:TAG, and `slimpack "
                "push` brings one there"
            )
        raise


@contextmanager
def taken_for(source: Source) -> Iterator[None]:
    """Say in errors of registries that there was no such file, if a reference was not one."""
    try:
        yield
    except RegistryError as error:
        if not isinstance(source, Path):
            error.hint = f"{error.hint}; there is no file of that name here".removeprefix("; ")
        raise
