"""``slimpack diff``."""

from __future__ import annotations

import json
import sys

import click

from slimpack.cli.images import here
from slimpack.cli.progress import choose
from slimpack.cli.telling import insecure_option, platform_option
from slimpack.oci.config import Platform
from slimpack.platforms import resolve
from slimpack.registry.connecting import Registries
from slimpack.report.difference import compare, to_json
from slimpack.report.difference_text import render_difference
from slimpack.sources import image_source, label


@click.command("diff", short_help="Show what differs between two images.")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@platform_option("Which image of several, like linux/amd64.")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several in A, by name.")
@click.option("--other-ref", default="", metavar="NAME:TAG", help="The same for B.")
@click.option("--all", "everything", is_flag=True, help="Every file, by path, not the biggest 20.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ, as git diff does.")
@insecure_option
def diff_command(
    one: str,
    other: str,
    platform: str | None,
    ref: str,
    other_ref: str,
    everything: bool,
    as_json: bool,
    exit_code: bool,
    insecure: bool,
) -> None:
    """Show what differs in the images A and B: packages, files, configuration, layers to pull.

    Each is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG. The
    same files and the same configuration are no difference, however they are spread over
    layers. The exit code is 0 unless --exit-code is given.
    """
    wanted = Platform.parse(resolve(platform)) if platform else None
    sources = image_source(one), image_source(other)
    progress = choose(as_json=as_json)
    with Registries(insecure=insecure) as registries:
        found = compare(
            here(sources[0], registries, progress, wanted, ref),
            here(sources[1], registries, progress, wanted, other_ref),
        )
    if as_json:
        click.echo(json.dumps(to_json(found), indent=2))
    else:
        names = ref or label(sources[0]), other_ref or label(sources[1])
        text = render_difference(found, names, top=None if everything else 20)
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        click.echo(text.encode(encoding, "replace").decode(encoding))
    if exit_code and found:
        sys.exit(1)
