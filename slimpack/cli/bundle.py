"""``slimpack bundle``: one file that carries images across an air gap."""

from __future__ import annotations

import click

from slimpack.cli.lazy import LazyCommands

# Name -> where it is.
_COMMANDS: dict[str, str] = {
    "verify": "bundle_verify:verify_command",
    "create": "bundle_create:create_command",
    "report": "bundle_report:report_command",
    "apply": "bundle_apply:apply_command",
    "inventory": "bundle_inventory:inventory_command",
}


@click.group("bundle", commands=LazyCommands(_COMMANDS), short_help="Carry images by file.")
def bundle_group() -> None:
    """Put images, and all that belongs to them, into one file; verify it; bring it to its place."""
