"""Taking the inventory of a bundle, a layout, or repositories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from slimpack.bundle.inventory import Inventory, Listed
from slimpack.bundle.reader import Bundle
from slimpack.bundle.shipment import damaged, unreadable
from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.layout import check_folder
from slimpack.oci.listing import artifact_type, entry_name, listed_entries
from slimpack.oci.names import is_full_name
from slimpack.oci.parse import is_attestation
from slimpack.oci.read import read_described
from slimpack.oci.source import folder_files
from slimpack.progress import SILENT, Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.reference import Reference

_DOCUMENT = "sha256-"  # tags of referrers, and of what cosign keeps


def bundle_inventory(bundle: Bundle) -> Inventory:
    """Return what somebody has who applied a bundle. Raises BundleError for a damaged one."""
    found = Inventory(created=bundle.statement.created, digest=bundle.digest)
    try:
        for one in bundle.statement.images:
            found = found.with_image(one.names, bundle.target(one))
    except ImageError as error:
        raise damaged(bundle, error) from error
    except OSError as error:
        raise unreadable(bundle, error) from error
    return found


def layout_inventory(path: Path, progress: Progress = SILENT) -> Inventory:
    """Return the images of a layout folder. What cannot be read is left out, with a warning."""
    check_folder(path)
    found = Inventory()
    files = folder_files(path)
    for entry in listed_entries(path):
        if artifact_type(entry) or is_attestation(entry):
            continue
        name = entry_name(entry)
        try:
            target = read_described(files, entry)
        except ImageError as error:
            progress.warn(f"{path}: {name or entry.get('digest')} is left out: {error.message}")
            continue
        found = found.with_image((name,) if is_full_name(name) else (), target)
    return found


def registry_inventory(
    references: Sequence[Reference], registries: Registries, progress: Progress = SILENT
) -> Inventory:
    """Return the images in a registry: those named, and all of a repository without a tag.

    Raises RegistryError. What is no image is left out, with a warning.
    """
    found = Inventory()
    with TemporaryDirectory(prefix="slimpack-") as scratch:
        blobs = BlobStore(Path(scratch), durable=False)
        for reference in _tagged(references, registries):
            try:
                target = pull_all(reference, registries, blobs=blobs)
            except ImageError as error:
                progress.warn(f"{reference} is left out: {error.message}")
                continue
            found = found.with_image((str(reference),) if reference.tag else (), target)
    return found


def _tagged(references: Sequence[Reference], registries: Registries) -> Iterable[Reference]:
    for one in references:
        if one.target:
            yield one
            continue
        for tag in registries.of(one.host).tags(one.repository):
            if not tag.startswith(_DOCUMENT):
                yield replace(one, tag=tag)


def merged(inventories: Iterable[Inventory]) -> Inventory:
    """Return what is in any of them; the date and digest are of the last that has them."""
    images: dict[str, Listed] = {}
    found = Inventory()
    for one in inventories:
        for item in one.images:
            digest = str(item.descriptor["digest"])
            names = (*images[digest].names, *item.names) if digest in images else item.names
            images[digest] = replace(item, names=tuple(dict.fromkeys(names)))
        found = Inventory(
            tuple(images.values()),
            tuple(sorted({*found.blobs, *one.blobs})),
            tuple(sorted({*found.diff_ids, *one.diff_ids})),
            found.created if one.created is None else one.created,
            one.digest or found.digest,
        )
    return found
