"""``slimpack dockerfile``."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from slimpack.cache import default_cache
from slimpack.cli.options import environment_options, epoch, prefix_option
from slimpack.cli.outputs import check_output
from slimpack.cli.slimming import slim_options
from slimpack.cli.telling import telling_options
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.dockerfile.pin import pinned
from slimpack.dockerfile.plan import Planned, Wanted, plan
from slimpack.dockerfile.render import HEAD, IGNORE_HEAD, render, render_ignore
from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries


@click.command("dockerfile", short_help="Write a Dockerfile that does what build does, roughly.")
@click.option(
    "-o",
    "--output",
    "output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("Dockerfile"),
    show_default=True,
    help="Where it goes; FILE.dockerignore and the lock go beside it.",
)
@click.option(
    "--context",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that BuildKit will be given [default: that of the Dockerfile].",
)
@click.option(
    "--builder-image", metavar="NAME", default="", help="What has micromamba, for the first stages."
)
@click.option(
    "--final-image",
    metavar="NAME",
    default="",
    help="What lies below the environment [default: the distroless image of the runtime].",
)
@click.option(
    "--pin/--no-pin",
    "pin",
    default=True,
    help="Ask registries for the digests of both images, or leave tags [default: --pin].",
)
@click.option("--runtime", metavar="NAME", help="As for `slimpack build` [default: distroless].")
@click.option(
    "--base", metavar="IMAGE", help="As for `slimpack build`: a reference is the final image, too."
)
@click.option(
    "-f", "--force", is_flag=True, help="Replace a Dockerfile that this command did not write."
)
@prefix_option(
    "--prefix", help="Where the environment lies in the image [default: the runtime's, /opt/env]."
)
@environment_options
@slim_options(DEFAULT_PROFILE)
@telling_options("Print nothing.")
def dockerfile_command(
    config: Config,
    output: Path,
    context: Path | None,
    builder_image: str,
    final_image: str,
    pin: bool,
    force: bool,
    runtime: str | None,
    base: str | None,
    prefix: str | None,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Write a multi-stage Dockerfile for INPUT, for those who must build with BuildKit.

    INPUT and the configuration are those of `slimpack build`: the same packages, files,
    variables and command. An @EXPLICIT list is written beside it (--lock says where), unless
    INPUT is one. docs/dockerfile.md says what a build by slimpack does beyond.
    """
    check_output(str(output), config)
    if output.is_dir():
        raise InputError(f"{output} is a folder", hint="name the file: -o FOLDER/Dockerfile")
    ignore = output.with_name(f"{output.name}.dockerignore")
    if not force:
        _check_ours(output, HEAD)
        _check_ours(ignore, IGNORE_HEAD)
    lock = config.env.lock
    if lock is not None and lock.suffix != ".txt":
        raise InputError(
            f"--lock: {lock} is not named as an @EXPLICIT list is",
            hint="micromamba installs from that: --lock explicit.txt",
        )
    wanted = Wanted(output, context or output.parent, builder_image, final_image, lock)
    with Registries() as registries:
        planned = plan(
            config.with_env(lock=None).with_image(runtime=runtime, base=base, prefix=prefix),
            wanted,
            cache=default_cache(),
            pin=partial(pinned, registries=registries) if pin else str,
            epoch=epoch(),
            progress=progress,
        )
    files = (
        *planned.files,
        (ignore, render_ignore(planned.recipe)),
        (output, render(planned.recipe)),
    )
    for path, text in files:
        with atomic_file(path) as stream:
            stream.write(text.encode())
    written = [str(path) for path, _ in files]
    if as_json:
        click.echo(json.dumps(_json(planned, written), indent=2))
    elif not quiet:
        click.echo(_summary(planned, written))


def _check_ours(path: Path, head: str) -> None:
    """Raise InputError for a file that somebody wrote by hand."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        if stream.read(len(head.encode())) != head.encode():
            raise InputError(
                f"{path} is there, and was not written by `slimpack dockerfile`",
                hint="name another file with -o, or pass --force to replace it",
            )


def _json(planned: Planned, written: list[str]) -> dict[str, object]:
    recipe = planned.recipe
    return {
        "platform": recipe.platform,
        "builder": recipe.builder,
        "final": recipe.final,
        "config": {key: value for key, value in asdict(recipe.run).items() if value},
        "rules": [name for name, _ in recipe.drops],
        "beyond": list(recipe.notes),
        "notes": list(planned.notes),
        "outputs": written,
    }


def _summary(planned: Planned, written: list[str]) -> str:
    recipe = planned.recipe
    lines = [
        f"platform  {recipe.platform}",
        f"builder   {recipe.builder}",
        f"final     {recipe.final}",
        *(f"written   {path}" for path in written),
        *(f"note: {note}" for note in planned.notes),
    ]
    return "\n".join(lines)
