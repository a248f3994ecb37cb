"""``slimpack bundle apply --to channel=FOLDER``."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

from slimpack.bundle.reader import Bundle
from slimpack.bundle.to_channel import ChannelPlan, apply_channel, plan_channel
from slimpack.cli.table import megabytes
from slimpack.files import explained
from slimpack.oci.layout import locked
from slimpack.progress import Progress


def apply_to_channel(
    bundle: Bundle, folder: Path, *, dry_run: bool, quiet: bool, as_json: bool, progress: Progress
) -> str:
    """Bring the packages of a bundle to a folder; return what is to be printed."""
    if not dry_run:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with nullcontext() if dry_run else locked(folder):
        plan = plan_channel(bundle, folder)
        if not dry_run:
            apply_channel(bundle, plan, progress=progress)
    if as_json:
        return json.dumps(_result(bundle, plan, dry_run), indent=2)
    if quiet:
        return "\n".join(path for path, _ in plan.missing)
    return "\n".join(_lines(bundle, plan, dry_run))


def _result(bundle: Bundle, plan: ChannelPlan, dry_run: bool) -> dict[str, object]:
    return {
        "bundle": bundle.digest,
        "created": bundle.statement.created,
        "target": f"channel={plan.folder}",
        "dry_run": dry_run,
        "files": [path for path, _ in plan.missing],
        "replaced": list(plan.replaced),
        "indexes": list(plan.indexes),
        "stale": list(plan.stale),
        "sent": plan.size,
        "present": len(plan.present),
    }


def _lines(bundle: Bundle, plan: ChannelPlan, dry_run: bool) -> list[str]:
    lines = [
        f"bundle    {bundle.digest}",
        f"target    channel={plan.folder}",
        f"{'to write' if dry_run else 'written':<9} {len(plan.missing)} files, "
        f"{megabytes(plan.size)} MB; {len(plan.present)} were there",
        *(f"replaced  {path}" for path in plan.replaced),
        *(f"index     {path}" for path in plan.indexes),
        *(
            f"note: {path} does not tell of the new packages; index the channel again"
            for path in plan.stale
        ),
    ]
    return [*lines, "nothing was written (--dry-run)"] if dry_run else lines
