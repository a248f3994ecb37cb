"""``slimpack bundle apply``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from slimpack.bundle.apply import Planned, apply, inventory_after, plan_apply
from slimpack.bundle.choosing import Pattern, Rename
from slimpack.bundle.far import Far, Move, Parcel, Sent
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.target import FORMS, Target, open_far
from slimpack.bundle.trust import check_trust
from slimpack.cache import default_cache
from slimpack.cli.table import megabytes
from slimpack.cli.telling import insecure_option, telling_options
from slimpack.cli.trusting import trust_options
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference


@click.command("apply", short_help="Bring a bundle's images to a registry, an engine, a layout.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, metavar="TARGET", help=f"{FORMS}.")
@click.option("--image", "images", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="OLD=NEW",
    help="Another name for one image (NAME:TAG or sha256:...) or repository; repeatable.",
)
@click.option(
    "--mount-from",
    "mounts",
    multiple=True,
    metavar="REPOSITORY",
    help="HOST/REPOSITORY on the target registry that may have some of the layers; repeatable.",
)
@trust_options
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what the target has afterwards: for `create --since`, and --not-older-than.",
)
@insecure_option
@telling_options("Print only the names.")
def apply_command(
    file: Path,
    to: str,
    images: Sequence[str],
    renames: Sequence[str],
    mounts: Sequence[str],
    key: Path | None,
    not_older_than: str | None,
    dry_run: bool,
    inventory: Path | None,
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Bring the images of the bundle FILE to TARGET, with their documents.

    Only what is missing there travels, and every byte is checked on the way. The names of an
    image move when all of it is there; an interrupted run goes on where it was when it is
    started again. FILE is a bundle, or the list of its volumes.
    """
    target = Target.parse(to)
    patterns = list(map(Pattern.parse, images))
    changes = list(map(Rename.parse, renames))
    sources = list(map(Reference.parse, mounts))
    bundle = open_bundle(file)
    check_trust(bundle, key, not_older_than)
    if target.kind == "channel":
        from slimpack.cli.bundle_channel import apply_to_channel

        if images or renames or mounts or inventory:
            raise InputError(
                f"{target} takes packages, and no images",
                hint="leave out --image, --rename, --mount-from and --inventory",
            )
        place = Path(target.place)
        told = {"dry_run": dry_run, "quiet": quiet, "as_json": as_json}
        click.echo(apply_to_channel(bundle, place, progress=progress, **told))
        return
    with Registries(insecure=insecure) as registries:
        far = open_far(target, bundle, registries, sources)
        planned = plan_apply(bundle, far, images=patterns, renames=changes)
        sent = None if dry_run else _applied(bundle, far, planned, progress)
        if inventory is not None and not dry_run:
            found = inventory_after(bundle, far, planned, progress)
            with atomic_file(inventory) as out:
                out.write(found.to_json())
    if as_json:
        click.echo(json.dumps(_result(bundle, target, planned, sent), indent=2))
    elif quiet:
        names = [move.name for parcel in planned.parcels for move in parcel.moves]
        click.echo("\n".join(names)) if names else None
    else:
        click.echo("\n".join(_lines(bundle, target, planned, sent)))


def _applied(bundle: Bundle, far: Far, planned: Planned, progress: Progress) -> list[Sent]:
    with default_cache().scratch() as scratch:
        return apply(bundle, far, planned, scratch, progress=progress)


def _result(
    bundle: Bundle, target: Target, planned: Planned, sent: Sequence[Sent] | None
) -> dict[str, Any]:
    results = sent or [_would(parcel) for parcel in planned.parcels]
    return {
        "bundle": bundle.digest,
        "created": bundle.statement.created,
        "target": str(target),
        "dry_run": sent is None,
        "images": [
            {
                "digest": parcel.shipment.target.digest,
                "place": parcel.place,
                "names": [
                    {"name": move.name, "before": move.before, "after": move.after}
                    for move in parcel.moves
                ],
                "documents": [told.manifest.digest for told in parcel.shipment.documents],
                "sent": one.sent,
                "mounted": one.mounted,
                "present": one.present,
            }
            for parcel, one in zip(planned.parcels, results, strict=True)
        ],
        "sent": sum(one.sent for one in results),
        "mounted": sum(one.mounted for one in results),
        "present": sum(one.present for one in results),
    }


def _would(parcel: Parcel) -> Sent:
    lacking, there = (sum(b.size for b in blobs) for blobs in (parcel.lacking, parcel.there))
    return Sent(lacking, 0, there)


def _lines(
    bundle: Bundle, target: Target, planned: Planned, sent: Sequence[Sent] | None
) -> list[str]:
    result = _result(bundle, target, planned, sent)
    lines = [f"bundle    {bundle.digest}", f"target    {target}"]
    for parcel in planned.parcels:
        told = len(parcel.shipment.documents)
        beside = f", {told} document{'s' * (told != 1)}" if told else ""
        lines.append(f"image     {parcel.shipment.target.digest}{beside}")
        lines += [f"  name    {_moved(move, dry=sent is None)}" for move in parcel.moves]
    if sent is None:
        return [
            *lines,
            f"to send   {megabytes(result['sent'])} MB; {megabytes(result['present'])} MB there",
            "nothing was written (--dry-run)",
        ]
    return [
        *lines,
        f"sent      {megabytes(result['sent'])} MB; {megabytes(result['mounted'])} MB mounted from "
        f"other repositories, {megabytes(result['present'])} MB were there",
    ]


def _moved(move: Move, *, dry: bool) -> str:
    if move.before == move.after:
        return f"{move.name}: {'is' if dry else 'was'} there"
    if not move.before:
        return f"{move.name}: {'would be ' if dry else ''}new"
    return f"{move.name}: {'would move' if dry else 'moved'} from {move.before}"
