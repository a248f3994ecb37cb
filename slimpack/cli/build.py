"""``slimpack build``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import click

from slimpack.build import build
from slimpack.cache import default_cache
from slimpack.cli.options import environment_options, epoch, prefix_option
from slimpack.cli.sinks import sink_options
from slimpack.cli.slimming import slim_options, slim_table
from slimpack.cli.table import megabytes, package_count, table
from slimpack.cli.telling import telling_options
from slimpack.config import COMPRESSIONS, DEFAULT_PROFILE, SANDBOXES, Config
from slimpack.outputs import Outputs, RemoteCaching
from slimpack.progress import Progress
from slimpack.result import BuildResult, Built
from slimpack.verify.model import Verification


@click.command("build", short_help="Build an image from an environment.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name of the image.")
@click.option(
    "--runtime",
    metavar="NAME",
    help="What lies below the environment: one of `slimpack runtime list`, or a .toml file "
    "[default: distroless].",
)
@click.option(
    "--base",
    metavar="IMAGE",
    help="OCI layout, docker-archive or reference in a registry (HOST/REPOSITORY@sha256:...) "
    "instead of the runtime's base.",
)
@prefix_option(
    "--prefix", help="Where the environment lies in the image [default: the runtime's, /opt/env]."
)
@click.option(
    "--layers", type=click.IntRange(1, 120), metavar="N", help="At most so many [default: 24]."
)
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    help="Of the layers; the last two start before they are there (docs/lazy.md) [default: zstd].",
)
@click.option(
    "--level",
    type=click.IntRange(1, 22),
    metavar="N",
    help="Compression level [default: zstd 9, gzip and estargz 6].",
)
@click.option(
    "--verify/--no-verify",
    "verify",
    default=None,
    help="Prove that the image works before it is delivered [default: --verify].",
)
@click.option(
    "--verify-again",
    "again",
    is_flag=True,
    help="Prove it anew, whatever an earlier build has proven (docs/cache.md).",
)
@click.option(
    "--sandbox",
    type=click.Choice(SANDBOXES),
    help="How the proof runs programs of the image [default: auto].",
)
@environment_options
@sink_options
@slim_options(DEFAULT_PROFILE)
@telling_options("Print only the image's digest.")
def build_command(
    config: Config,
    outputs: Outputs,
    remote: RemoteCaching,
    fresh: bool,
    tags: tuple[str, ...],
    runtime: str | None,
    base: str | None,
    prefix: str | None,
    layers: int | None,
    compression: str | None,
    level: int | None,
    verify: bool | None,
    again: bool,
    sandbox: str | None,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Build an image from INPUT.

    INPUT is an environment.yml, a pixi.lock, a conda-lock.yml, an @EXPLICIT list, a
    pixi.toml or pyproject.toml with its lock beside it, an existing environment's
    folder, a conda-pack archive, or match specs. What is not given here comes from
    slimpack.toml, or [tool.slimpack] in pyproject.toml, in the current folder.
    """
    if again and verify is False:
        raise click.UsageError("--verify-again and --no-verify contradict each other")
    config = config.with_image(
        references=tags or None,
        runtime=runtime,
        base=base,
        prefix=prefix,
        layers=layers,
        compression=compression,
        compression_level=level,
    ).with_verify(enabled=verify, sandbox=sandbox)
    result = build(
        config,
        outputs,
        cache=default_cache(),
        remote=remote,
        fresh=fresh,
        again=again,
        progress=progress,
        epoch=epoch(),
    )
    _show(result, quiet=quiet, as_json=as_json)


def _show(built: Built, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_json(built), indent=2))
    elif quiet:
        click.echo(built.digest)
    else:
        click.echo(_summary(built))


def _json(built: Built) -> dict[str, object]:
    """One image is told with its keys at the top, as are those of all images of an index."""
    told = {
        "references": built.references,
        "outputs": built.outputs,
        "pushed": built.pushed,
        "sent": built.sent,
        "root_file_systems": [
            {"path": one.path, "format": one.format, "size": one.size, "sha256": one.sha256}
            for one in built.roots
        ],
    }
    images = [_json_of_image(result) for result in built.images]
    if len(images) == 1:
        stages = (*built.images[0].stages, *built.stages)
        notes = (*built.images[0].notes, *built.notes)
        return {**images[0], **told, "stages": stages, "notes": notes}
    whole = {
        "digest": built.digest,
        "size": built.size,
        "stages": built.stages,
        "notes": built.notes,
    }
    return {**whole, **told, "images": images}


def _json_of_image(result: BuildResult) -> dict[str, object]:
    verified = result.verified.to_json() if result.verified else None
    plain = asdict(replace(result, verified=None))
    return {**plain, "unpacked": result.unpacked, "verified": verified}


def _verified(result: Verification | None) -> str:
    if result is None:
        return "not asked for"
    made = [one for one in result.results if not one.skipped]
    skipped = ", ".join(one.name for one in result.results if one.skipped)
    where = f" in {result.sandbox}" if result.sandbox else ""
    counts = result.counts()
    found = "".join(f", {counts[kind]} {kind}s" for kind in ("warning", "info") if counts[kind])
    kept = f"; proven before: {result.kept}" if result.kept else ""
    return f"{len(made)} checks{where}{found}{kept}" + (f"; not made: {skipped}" if skipped else "")


def _summary(built: Built) -> str:
    several = len(built.images) > 1
    lines: list[str] = []
    for result in built.images:
        lines += _tables(result, () if several else built.stages)
        lines += [*_facts(result), f"digest    {result.digest}"]
        lines += [f"note: {note}" for note in result.notes] if several else []
    if several:
        lines += ["", f"index     {built.digest}", f"size      {megabytes(built.size)} MB"]
    if built.references:
        lines.append(f"tags      {', '.join(built.references)}")
    roots = {one.path: one for one in built.roots}
    lines += [f"written   {path}" for path in built.outputs if path not in roots]
    for one in built.roots:
        lines.append(f"written   {one.path} ({one.format}, {megabytes(one.size)} MB)")
        lines.append(f"sha256    {one.sha256}")
    lines += [f"pushed    {reference}" for reference in built.pushed]
    if built.pushed:
        lines.append(f"sent      {megabytes(built.sent)} MB")
    notes = built.notes if several else (*built.images[0].notes, *built.notes)
    lines += [f"note: {note}" for note in notes]
    return "\n".join(lines)


def _tables(result: BuildResult, more: tuple[tuple[str, float], ...]) -> list[str]:
    rows = [
        (layer.name, str(layer.files), megabytes(layer.unpacked), megabytes(layer.compressed))
        for layer in result.layers
    ]
    rows.append(("total", str(result.files), megabytes(result.unpacked), megabytes(result.size)))
    taken = (*result.stages, *more)
    stages = [(name, f"{seconds:.1f}") for name, seconds in taken]
    stages.append(("together", f"{sum(seconds for _, seconds in taken):.1f}"))
    return [
        "",
        table(("layer", "files", "unpacked MB", "compressed MB"), rows, right=(1, 2, 3)),
        "",
        *filter(None, [slim_table(result.slimmed)]),
        "",
        table(("stage", "seconds"), stages, right=(1,)),
        "",
    ]


def _facts(result: BuildResult) -> list[str]:
    code = result.bytecode
    return [
        f"input     {result.source}",
        f"packages  {package_count(result.packages, result.pypi)}",
        f"bytecode  {code.kept + code.moved} files kept, {code.compiled} compiled",
        f"platform  {result.platform}",
        *([f"reused    {result.reused}"] if result.reused else []),
        f"verified  {_verified(result.verified)}",
    ]
