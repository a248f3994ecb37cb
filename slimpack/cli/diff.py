"""``slimpack diff``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from slimpack.cli.options import platform_option
from slimpack.oci.config import Platform
from slimpack.oci.read import read_image
from slimpack.platforms import resolve
from slimpack.report.difference import compare, to_json
from slimpack.report.difference_text import render_difference


@click.command("diff", short_help="Show what differs between two images.")
@click.argument("one", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@platform_option("Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several in A, by name.")
@click.option("--other-ref", default="", metavar="NAME:TAG", help="The same for B.")
@click.option("--all", "everything", is_flag=True, help="Every file, by path, not the biggest 20.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ, as git diff does.")
def diff_command(
    one: Path,
    other: Path,
    platform: str | None,
    ref: str,
    other_ref: str,
    everything: bool,
    as_json: bool,
    exit_code: bool,
) -> None:
    """Show what differs in the images A and B: packages, files, configuration, layers to pull.

    Each is an OCI layout folder, a tar of one, or a docker-archive. The same files and the
    same configuration are no difference, however they are spread over layers. The exit code
    is 0 unless --exit-code is given.
    """
    wanted = Platform.parse(resolve(platform)) if platform else None
    found = compare(read_image(one, wanted, ref=ref), read_image(other, wanted, ref=other_ref))
    if as_json:
        click.echo(json.dumps(to_json(found), indent=2))
    else:
        names = ref or one.name, other_ref or other.name
        text = render_difference(found, names, top=None if everything else 20)
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        click.echo(text.encode(encoding, "replace").decode(encoding))
    if exit_code and found:
        sys.exit(1)
