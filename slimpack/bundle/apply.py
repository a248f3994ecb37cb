"""Bringing the images of a bundle to where they are wanted.

What is there is looked at first, and what the bundle leaves out has to be there; only then
is anything written. Each image goes by itself: its names move when all of it is there, so
whoever pulls by name gets the old image or the new one. An interrupted run leaves blobs
that no name leads to, and the next one goes on with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from slimpack.bundle.choosing import Pattern, Rename, choose_images
from slimpack.bundle.far import Far, Parcel, Sent
from slimpack.bundle.inventory import Inventory
from slimpack.bundle.reader import Bundle
from slimpack.bundle.rebuild import Held, check_patch
from slimpack.bundle.shipment import read_shipments
from slimpack.bundle.supply import Member, Supply
from slimpack.errors import BundleError
from slimpack.progress import SILENT, Progress

_SHOWN = 20


@dataclass(frozen=True)
class Planned:
    """What is to go, and what is used of the far side: digest -> blob."""

    parcels: tuple[Parcel, ...]
    held: dict[str, Held]


def plan_apply(
    bundle: Bundle,
    far: Far,
    *,
    images: Sequence[Pattern] = (),
    renames: Sequence[Rename] = (),
) -> Planned:
    """Look at what has to go to `far`, and change nothing.

    images: which of the bundle, all without them. Raises InputError for names that do not
    fit, BundleError for a bundle that is damaged, or a delta whose bases are not there or
    whose patches this machine cannot apply.
    """
    chosen = choose_images(bundle.statement, images, renames)
    parcels = far.plan(read_shipments(bundle, chosen))
    held: dict[str, Held] = {}
    missing = list(dict.fromkeys(_missing(bundle, far, parcels, held)))
    if missing:
        raise BundleError(
            f"{far.name} lacks {len(missing)} blobs that this delta builds on",
            details="\n".join(missing[:_SHOWN]),
            hint="apply the bundles that it follows first, name repositories that have them "
            "(--mount-from), or ask for a bundle made with `--since` an inventory of this side",
        )
    lacking = {blob.digest for parcel in parcels for blob in parcel.lacking}
    for patch in bundle.statement.patches:
        if patch.target.digest in lacking:
            check_patch(patch, partial(Member, bundle, patch.path))
    return Planned(tuple(parcels), held)


def _missing(
    bundle: Bundle, far: Far, parcels: Sequence[Parcel], held: dict[str, Held]
) -> Iterator[str]:
    """Find what the bundle leaves out, and put it into `held`; yield what is not there."""
    members = {blob.digest for blob in bundle.statement.blobs}
    patches = {patch.target.digest: patch for patch in bundle.statement.patches}
    for parcel in parcels:
        title = parcel.shipment.title
        for blob in parcel.lacking:
            if blob.digest in members:
                continue
            patch = patches.get(blob.digest)
            for digest in (blob.digest,) if patch is None else patch.bases:
                found = held.get(digest) or far.find(parcel.place, digest)
                if found is not None:
                    held[digest] = found
                elif patch is None:
                    yield f"{digest} ({blob.size} bytes), a part of {title}"
                else:
                    yield f"{digest}, from which {blob.digest} of {title} is made"


def apply(
    bundle: Bundle, far: Far, planned: Planned, scratch: Path, *, progress: Progress = SILENT
) -> list[Sent]:
    """Do what was planned; return what travelled, parcel by parcel.

    scratch: a folder for layers that are rebuilt from patches, and the tars of their bases.
    Raises BundleError for a bundle that is damaged, and what the far side meets
    (RegistryError, DaemonError, SlimpackError for a folder). Images whose turn was over have
    moved then, and no other.
    """
    with closing(Supply(bundle, planned.held, scratch, progress)) as supply:
        return [far.carry(parcel, supply, progress) for parcel in planned.parcels]


def inventory_after(
    bundle: Bundle, far: Far, planned: Planned, progress: Progress = SILENT
) -> Inventory:
    """Return what the far side has now, with the date and the digest of the bundle.

    The next bundle may be made `--since` it, and has to be `--not-older-than` it.
    """
    found = far.stock(planned.parcels, progress)
    return replace(found, created=bundle.statement.created, digest=bundle.digest)
