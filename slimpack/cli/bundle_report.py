"""``slimpack bundle report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from slimpack.bundle.bandwidth import Link, report_of
from slimpack.bundle.reader import open_bundle
from slimpack.cli.bundle_text import (
    images_table,
    link_option,
    traffic_json,
    traffic_table,
    weights_json,
)


@click.command("report", short_help="Tell what is in a bundle, and what carrying it takes.")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@link_option
@click.option("--json", "as_json", is_flag=True, help="Result as JSON on stdout.")
def report_command(path: Path, links: tuple[Link, ...], as_json: bool) -> None:
    """Tell which images FILE has, and how many bytes it saves.

    FILE is a bundle, or the list of its volumes. Compared are: each image alone, as if they
    were carried one by one; a bundle, where what images share is stored once; and, for a
    delta, what is really in it. Nothing is verified: `slimpack bundle verify` does that.
    """
    bundle = open_bundle(path)
    traffic, weights = report_of(bundle)
    if as_json:
        found = {
            "digest": bundle.digest,
            "images": weights_json(weights),
            "traffic": traffic_json(traffic, links),
        }
        click.echo(json.dumps(found, indent=2))
        return
    lines = [
        f"bundle    {bundle.digest}",
        "",
        images_table(weights),
        "",
        traffic_table(traffic, links, delta=bundle.statement.is_delta),
    ]
    click.echo("\n".join(lines))
