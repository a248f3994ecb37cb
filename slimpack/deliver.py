"""Where an image goes: files, folders, engines, registries. All take the same `Deliverable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.config import ImageConfig
from slimpack.oci.archive import write_archive
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.layout import write_layout
from slimpack.oci.names import familiar_name
from slimpack.outputs import Outputs, RootFile
from slimpack.progress import Progress
from slimpack.registry.reference import Reference

if TYPE_CHECKING:  # the libraries of engines and registries take a while
    from slimpack.archive.formats import Packing
    from slimpack.attestation import Attestation
    from slimpack.registry.connecting import Registries
    from slimpack.registry.push import Pushed

Told = Sequence[tuple[Image, tuple["Attestation", ...]]]
"""Images with the documents about them."""


@dataclass(frozen=True)
class Delivered:
    """What came of it.

    files: documents that were written. roots: root file systems that were.
    """

    pushed: Pushed | None = None
    files: tuple[str, ...] = ()
    roots: tuple[RootFile, ...] = ()


@dataclass(frozen=True)
class Pushing:
    """Sessions with registries, and repositories from which they may take layers."""

    registries: Registries
    mount_from: tuple[Reference, ...] = ()


def references(image: ImageConfig) -> tuple[str, ...]:
    """Return what the image is called: NAME:TAG for each tag, or NAME, or nothing.

    Raises InputError for a name that no engine or registry takes.
    """
    names = image.references
    if not names and image.name:
        names = tuple(f"{image.name}:{tag}" for tag in image.tags) or (image.name,)
    return tuple(familiar_name(name) for name in names)


def deliver(
    target: Deliverable,
    names: Sequence[str],
    outputs: Outputs,
    progress: Progress,
    *,
    told: Told = (),
    pushing: Pushing | None = None,
    packing: Packing | None = None,
) -> Delivered:
    """Give `target`, called `names`, to each of `outputs`.

    told: pushed as referrers. pushing: needed for `Outputs.push`; packing: for
    `Outputs.roots`. Raises what the sinks do;
    InputError for an index without an image that an engine on this machine could run.
    """
    for text in outputs.paths:
        path = Path(text)
        if text.endswith("/") or path.is_dir():
            write_layout(target, path, names)
        else:
            write_archive(target, path, names)
    roots: list[RootFile] = []
    if outputs.roots and packing:
        from slimpack.hpc.write import write_root

        (image,) = images_of(target)
        roots = [write_root(image, one, packing, progress=progress) for one in outputs.roots]
    files: list[str] = []
    if told:
        from slimpack.attestation import write_documents

        beside = (*outputs.paths, *(one.path for one in outputs.roots))
        files = [str(file) for path in beside for file in write_documents(path, told)]
    if outputs.load:
        from slimpack import daemon

        daemon.load(daemon.for_here(target), names, engine=outputs.load, progress=progress)
    if not outputs.push or pushing is None:
        return Delivered(None, tuple(files), tuple(roots))
    from slimpack.registry.push import push, push_artifact

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
    return Delivered(pushed, tuple(files), tuple(roots))
