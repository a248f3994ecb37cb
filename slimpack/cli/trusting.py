"""Options that say which bundles are trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from slimpack.cli.telling import with_options

_OPTIONS = (
    click.option(
        "--key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Public key (cosign.pub) with whose other half the bundle must be signed.",
    ),
    click.option(
        "--not-older-than",
        "not_older_than",
        metavar="DATE|FILE",
        help="Refuse a bundle from before this date (2025-07-31, @1753963200), or before that "
        "of another bundle or inventory; and one that does not say its date.",
    ),
)


def trust_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --key and --not-older-than; it receives `key` and `not_older_than`."""
    return with_options(_OPTIONS, function)
