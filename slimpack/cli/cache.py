"""``slimpack cache``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime, timezone

import click

from slimpack.cache import default_cache
from slimpack.cache.check import check
from slimpack.cache.contents import PARTS, fetched, kept
from slimpack.cache.limits import (
    DAY,
    FETCHED_DAYS,
    Removed,
    parse_age,
    size_limit,
    totals,
    trim,
    trim_fetched,
)
from slimpack.cli.table import megabytes, table
from slimpack.cli.telling import telling_options
from slimpack.errors import ImageError
from slimpack.progress import Progress
from slimpack.sizes import parse_size

_MOST = 20  # damaged files that are named


@click.group("cache")
def cache_group() -> None:
    """Look at what is kept for later builds, and remove it.

    It lies in $SLIMPACK_CACHE_DIR, else in $XDG_CACHE_HOME/slimpack, else in
    ~/.cache/slimpack. Builds keep its layers and results below $SLIMPACK_CACHE_SIZE
    [default: 20 GB].
    """


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else parse_age(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@cache_group.command("info")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def info_command(as_json: bool) -> None:
    """Show what lies where, how large it is, and since when the oldest of it was not used."""
    cache = default_cache()
    limit = size_limit()
    found = totals([*kept(cache), *fetched(cache)])
    rows = [(part, *found.get(part, (0, 0, math.inf))) for part in PARTS]
    if as_json:
        parts = [
            {"part": part, "items": number, "bytes": size, "oldest_use": _iso(oldest)}
            for part, number, size, oldest in rows
        ]
        data = {
            "folder": str(cache.root),
            "limit": limit,
            "bytes": sum(size for _, _, size, _ in rows),
            "parts": parts,
        }
        click.echo(json.dumps(data, indent=2))
        return
    click.echo(f"{cache.root}")
    lines = [
        (part, str(number), megabytes(size), (_iso(oldest) or "")[:10], PARTS[part])
        for part, number, size, oldest in rows
        if number
    ]
    lines.append(("total", "", megabytes(sum(row[2] for row in rows)), "", ""))
    header = ("part", "number", "MB", "oldest use", "what it is")
    click.echo(table(header, lines, right=(1, 2)))
    click.echo(f"limit of layers, records and results together: {megabytes(limit)} MB")


@cache_group.command("prune")
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=_size,
    help="Remove layers and results, the longest unused first, until they have at most SIZE, "
    "such as '5 GB' [default: $SLIMPACK_CACHE_SIZE].",
)
@click.option(
    "--older-than",
    metavar="TIME",
    callback=_age,
    help="Remove whatever was not used for TIME, such as 12h or 7d "
    "[default: what was fetched and not used for 30d].",
)
@click.option("--all", "everything", is_flag=True, help="Remove all that no build is using.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def prune_command(
    max_size: int | None, older_than: float | None, everything: bool, as_json: bool
) -> None:
    """Remove what was not used for long.

    A build that is running loses nothing that it cannot make again.
    """
    if everything and (max_size is not None or older_than is not None):
        raise click.UsageError("--all leaves nothing for --max-size and --older-than")
    cache = default_cache()
    limit = size_limit() if max_size is None else max_size
    removed = Removed()
    if cache.root.is_dir():
        removed = trim(cache, 0 if everything else limit, unused=older_than)
        unused = FETCHED_DAYS * DAY if older_than is None else older_than
        removed += trim_fetched(cache, 0.0 if everything else unused)
    if as_json:
        click.echo(json.dumps({"folder": str(cache.root), **asdict(removed)}, indent=2))
        return
    click.echo(f"removed {removed.number} items, {megabytes(removed.size)} MB")
    if removed.busy:
        click.echo(f"{removed.busy} fetched packages and indexes stay: a build is running")


@cache_group.command("verify")
@telling_options("Print only what is wrong.")
def verify_command(quiet: bool, as_json: bool, progress: Progress) -> None:
    """Read all layers and results, and remove what is damaged.

    Exit code 7 when there was something. Builds find damage by themselves when they
    come to use it; this finds it before.
    """
    cache = default_cache()
    checked = check(cache, progress=progress)
    wrong = [str(item.path.relative_to(cache.root)) for item in checked.wrong]
    if as_json:
        stuck = [str(item.path.relative_to(cache.root)) for item in checked.stuck]
        data = {"folder": str(cache.root), "items": checked.number, "bytes": checked.size}
        click.echo(json.dumps({**data, "damaged": wrong, "not_removed": stuck}, indent=2))
    elif not wrong and not quiet:
        click.echo(f"{checked.number} items, {megabytes(checked.size)} MB: all is well")
    if not wrong:
        return
    listed = wrong[:_MOST] + ([f"and {len(wrong) - _MOST} more"] if len(wrong) > _MOST else [])
    files = "1 damaged file" if len(wrong) == 1 else f"{len(wrong)} damaged files"
    raise ImageError(
        f"the cache {cache.root} held {files}"
        + (f", of which {len(checked.stuck)} cannot be removed" if checked.stuck else ""),
        details="\n".join(listed),
        hint="run this again as a user who may remove them"
        if checked.stuck
        else "what was damaged is removed; if it happens again, have the disk checked",
    )


def _iso(seconds: float) -> str | None:
    if not math.isfinite(seconds):
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
