"""Options of ``slimpack bundle create``, and what they refuse."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from slimpack.bundle.volumes import SUFFIX, list_path
from slimpack.cli.options import epoch
from slimpack.cli.telling import Function, with_options
from slimpack.errors import InputError
from slimpack.sizes import parse_size

_LATEST = (1 << 33) - 1


def _names(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    found = []
    for text in value:
        image, equals, name = text.rpartition("=")
        if not (equals and image and name):
            raise click.BadParameter(f"expected IMAGE=NAME:TAG, got {text!r}", context, parameter)
        found.append((image, name))
    return tuple(found)


names_option = click.option(
    "--name",
    "names",
    multiple=True,
    metavar="IMAGE=NAME:TAG",
    callback=_names,
    help="What the image of the argument IMAGE is called in the bundle, instead of its own "
    "names; more than once for several.",
)


def _created(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return epoch() if os.environ.get("SOURCE_DATE_EPOCH") else None
    try:
        return parse_date(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


created_option = click.option(
    "--created",
    metavar="DATE",
    callback=_created,
    help="When it was made: 2026-03-01, 2026-03-01T12:00:00Z, seconds since 1970, or now "
    "[default: SOURCE_DATE_EPOCH, else it does not say; a date makes other bytes].",
)


def parse_date(text: str) -> int:
    """Return seconds since 1970; ValueError for what is no date. Without a zone it is UTC's."""
    if text == "now":
        return int(datetime.now(timezone.utc).timestamp())
    if re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= _LATEST:
        return int(text)
    try:
        moment = datetime.fromisoformat(re.sub(r"Z\Z", "+00:00", text))
    except ValueError:
        moment = None
    if moment is None or moment.year < 1970:
        raise ValueError(
            f"expected a date such as 2026-03-01 or 2026-03-01T12:00:00Z, got {text!r}"
        )
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a size; ``4G`` and ``700M``, as split(1) and burners write them, are taken, too."""
    if value is None:
        return None
    short = re.fullmatch(r"([0-9]+) ?([KMGT])(i?)B?", value)
    try:
        if short and not short[3] and not value.endswith("B"):
            return parse_size(f"{short[1]} {short[2].replace('K', 'k')}B")
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


volumes_option = click.option(
    "--volume-size",
    metavar="SIZE",
    callback=_size,
    help="Cut it into volumes of at most SIZE, such as 4G (10^9 bytes) or 4 GiB: FILE.tar.001 "
    "and so on, and a list of them.",
)


_SINCE = (
    click.option(
        "--since",
        "since",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="BUNDLE|INVENTORY",
        help="Make a delta: leave out what the far side has, by an older bundle or by an inventory "
        "of it (`bundle inventory`); more than once for several.",
    ),
    click.option(
        "--patch-from",
        "patch_from",
        multiple=True,
        metavar="IMAGE",
        help="An image that the far side has, to make patches from, where --since has no bytes of "
        "it; more than once for several.",
    ),
    click.option(
        "--patches/--no-patches",
        "patches",
        default=True,
        help="Whether layers of a delta become patches of older ones where that is smaller "
        "[default: they do].",
    ),
)


@dataclass(frozen=True)
class Since:
    """What a delta follows. files: older bundles and inventories. patch_from: images."""

    files: tuple[Path, ...] = ()
    patch_from: tuple[str, ...] = ()
    patches: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """All that is read for it."""
        return (*map(str, self.files), *self.patch_from)


def since_options(function: Function) -> Function:
    """Give a command --since, --patch-from and --no-patches; it receives `since`."""

    @functools.wraps(function)
    def command(
        *, since: tuple[Path, ...], patch_from: tuple[str, ...], patches: bool, **rest: Any
    ) -> Any:
        if not since and (patch_from or not patches):
            raise InputError(
                "--patch-from and --no-patches are for deltas",
                hint="say what the far side has: --since BUNDLE or --since INVENTORY",
            )
        return function(since=Since(since, patch_from, patches), **rest)

    return with_options(_SINCE, command)


def check_bundle_output(output: str, arguments: Sequence[str]) -> None:
    """Raise InputError for an output that is an input, or a part of one, or no tar."""
    if output.endswith(SUFFIX) or not output.endswith(".tar"):
        raise InputError(
            f"{output}: expected FILE.tar", hint="it is an uncompressed tar: layers are compressed"
        )
    target = Path(output).resolve()
    for text in arguments:
        source = Path(text).resolve()
        if list_path(target).exists() and list_path(target) in (source, list_path(source)):
            raise _never(output, f"is the input {text}")
        if source == target and source.exists():
            raise _never(output, "is the input")
        packed = (source / "oci-layout").exists() or (source / "conda-meta").exists()
        if source in target.parents and packed:
            raise _never(output, f"lies in the input {text}")


def _never(output: str, why: str) -> InputError:
    return InputError(f"{output} {why}, which is never written to", hint="choose another place")
