"""Where an image goes: files, folders, engines. All sinks take the same `Deliverable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack import daemon
from slimpack.errors import InputError
from slimpack.oci.archive import write_archive
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.layout import write_layout
from slimpack.platforms import resolve
from slimpack.progress import Progress


@dataclass(frozen=True)
class Outputs:
    """Where the image goes.

    paths: an OCI layout folder when the text ends in "/" or is a folder, else
        one tar that is an OCI layout and a docker-archive at once.
    load: into the Docker engine; of several platforms the one of this machine.
    """

    paths: tuple[str, ...] = ()
    load: bool = False


def deliver(
    target: Deliverable, names: Sequence[str], outputs: Outputs, progress: Progress
) -> None:
    """Give `target`, called `names`, to each of `outputs`.

    Raises what the sinks do; InputError for an index without an image that an engine
    on this machine could run.
    """
    for text in outputs.paths:
        path = Path(text)
        if text.endswith("/") or path.is_dir():
            write_layout(target, path, names)
        else:
            write_archive(target, path, names)
    if outputs.load:
        daemon.load_into_docker(for_here(target), names, progress=progress)


def for_here(target: Deliverable) -> Image:
    """Return the one image, or that of an index for this machine."""
    images = images_of(target)
    if len(images) == 1:
        return images[0]
    here = Platform.parse(resolve(""))
    fitting = [image for image in images if image.platform.matches(here)]
    if not fitting:
        there = ", ".join(str(image.platform) for image in images)
        raise InputError(
            f"an engine keeps images of its own platform, {here}; this one is for {there}",
            hint="write it with --output, or push it to a registry",
        )
    return fitting[0]
