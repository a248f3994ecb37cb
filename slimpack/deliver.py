"""Where an image goes: files, folders, engines, registries. All take the same `Deliverable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.attestation import Attestation
from slimpack.errors import InputError
from slimpack.oci.archive import write_archive
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.layout import write_layout
from slimpack.platforms import here
from slimpack.progress import Progress
from slimpack.provenance import Run
from slimpack.registry.connecting import Registries
from slimpack.registry.push import Pushed, push, push_artifact
from slimpack.registry.reference import Reference

AUTO = "auto"
ENGINES = ("docker", "podman", "containerd")
"""Engines, by the names of `slimpack.daemon`, whose libraries take a while to import."""

Told = Sequence[tuple[Image, tuple[Attestation, ...]]]
"""Images with the documents about them."""


@dataclass(frozen=True)
class Outputs:
    """Where the image goes, and what is written about it.

    paths: an OCI layout folder when the text ends in "/" or is a folder, else
        one tar that is an OCI layout and a docker-archive at once.
    load: name of an engine (`slimpack.daemon.load`), "" for none; of several platforms it
        gets the one of this machine.
    push: under these references. insecure: plain HTTP is allowed there.
    documents: names of `slimpack.attestation.FORMS` that are written about each image.
    run: what provenance says of the build itself.
    """

    paths: tuple[str, ...] = ()
    load: str = ""
    push: tuple[Reference, ...] = ()
    insecure: bool = False
    documents: tuple[str, ...] = ()
    run: Run = field(default_factory=Run)


@dataclass(frozen=True)
class Pushing:
    """Sessions with registries, and repositories from which they may take layers."""

    registries: Registries
    mount_from: tuple[Reference, ...] = ()


def deliver(
    target: Deliverable,
    names: Sequence[str],
    outputs: Outputs,
    progress: Progress,
    *,
    told: Told = (),
    pushing: Pushing | None = None,
) -> Pushed | None:
    """Give `target`, called `names`, to each of `outputs`; return what was pushed.

    told: pushed as referrers. pushing: needed for `Outputs.push`. Raises what the sinks do;
    InputError for an index without an image that an engine on this machine could run.
    """
    for text in outputs.paths:
        path = Path(text)
        if text.endswith("/") or path.is_dir():
            write_layout(target, path, names)
        else:
            write_archive(target, path, names)
    if outputs.load:
        from slimpack import daemon  # the libraries of engines take a while

        daemon.load(for_here(target), names, engine=outputs.load, progress=progress)
    if not outputs.push or pushing is None:
        return None
    pushed = push(
        target,
        outputs.push,
        pushing.registries,
        mount_from=pushing.mount_from,
        progress=progress,
    )
    for place in {(one.host, one.repository): one for one in outputs.push}.values():
        for image, documents in told:
            for document in documents:
                push_artifact(document.artifact(image.descriptor()), place, pushing.registries)
    return pushed


def for_here(target: Deliverable) -> Image:
    """Return the one image, or that of an index for this machine."""
    images = images_of(target)
    if len(images) == 1:
        return images[0]
    wanted = Platform.parse(here())
    fitting = [image for image in images if image.platform.matches(wanted)]
    if not fitting:
        there = ", ".join(str(image.platform) for image in images)
        raise InputError(
            f"an engine keeps images of its own platform, {wanted}; this one is for {there}",
            hint="write it with --output, or push it to a registry",
        )
    return fitting[0]
