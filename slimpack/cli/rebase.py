"""``slimpack rebase``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from slimpack.cache import default_cache
from slimpack.cache.layers import LayerCache
from slimpack.cli.images import taken_for
from slimpack.cli.options import config_option, configuration
from slimpack.cli.outputs import check_form, check_output
from slimpack.cli.table import megabytes, table
from slimpack.cli.telling import insecure_option, platform_option, telling_options
from slimpack.config import SANDBOXES
from slimpack.daemon import choose
from slimpack.deliver import Pushing, deliver
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import Platform
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.outputs import AUTO, ENGINES, Outputs
from slimpack.platforms import resolve
from slimpack.progress import Progress
from slimpack.rebase import Proof, Rebased, rebase
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch
from slimpack.registry.push import Pushed
from slimpack.registry.reference import Reference
from slimpack.sources import Source, image_names, image_source, open_deliverable


@dataclass(frozen=True)
class _Done:
    """What came of it, and where it went."""

    target: Deliverable
    results: tuple[Rebased, ...]
    names: tuple[str, ...]
    outputs: Outputs
    pushed: Pushed | None = None

    @property
    def changed(self) -> bool:
        return any(result.changed for result in self.results)


@click.command("rebase", short_help="Give a built image the newest base, without a build.")
@click.argument("text", metavar="IMAGE")
@click.option(
    "--runtime", metavar="NAME", help="The new base's runtime [default: the one that it has]."
)
@click.option(
    "--base",
    metavar="IMAGE",
    help="An image as the new base: on this machine, or HOST/REPOSITORY:TAG.",
)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="Name of the result.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="PATH",
    help="FILE.tar (OCI layout and docker-archive at once) or FOLDER/ (OCI layout).",
)
@click.option("--load", is_flag=True, help="Load it into an engine, the first that answers.")
@click.option("--load-into", type=click.Choice(ENGINES), help="Load it into this engine.")
@click.option(
    "--push",
    "targets",
    multiple=True,
    metavar="REF",
    help="Push it as HOST/REPOSITORY:TAG; more than once for several.",
)
@click.option(
    "--check", is_flag=True, help="Deliver nothing; exit with 1 if there is another base."
)
@click.option("--dry-run", is_flag=True, help="Deliver nothing; tell what would come of it.")
@click.option(
    "--verify/--no-verify",
    "verify",
    default=None,
    help="Also import every module and run the smoke tests / compare the bases only "
    "[default: check the files of an image on this machine, compare the bases of one in a "
    "registry].",
)
@click.option(
    "--sandbox",
    type=click.Choice(SANDBOXES),
    help="How --verify runs programs of the image [default: auto].",
)
@platform_option("Only this one of several, like linux/amd64 [default: all of them].")
@click.option("--ref", default="", metavar="NAME:TAG", help="Which image of several, by name.")
@insecure_option
@config_option
@telling_options("Print only the digest.")
def rebase_command(
    text: str,
    runtime: str | None,
    base: str | None,
    tags: tuple[str, ...],
    outputs: tuple[str, ...],
    load: bool,
    load_into: str | None,
    targets: tuple[str, ...],
    check: bool,
    dry_run: bool,
    verify: bool | None,
    sandbox: str | None,
    platform: str | None,
    ref: str,
    insecure: bool,
    config_file: Path | None,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Put IMAGE, which slimpack built, on the newest base: security fixes in seconds.

    The layers of its environment stay as they are; from a registry they are not even
    downloaded. The result is the image that a build on the new base would give. It is
    refused if the environment would miss something there.

    IMAGE is an OCI layout folder, a tar of one, a docker-archive, or HOST/REPOSITORY:TAG.
    """
    if runtime and base:
        raise click.UsageError("--runtime and --base exclude each other")
    places = Outputs(
        paths=outputs,
        load=load_into or (AUTO if load else ""),
        push=tuple(map(Reference.parse, targets)),
        insecure=insecure,
    )
    silent = check or dry_run
    if not (silent or outputs or places.load or targets):
        raise click.UsageError(
            "nowhere to put the image: pass --output PATH, --load or --push REF (or --check)"
        )
    # What a file says of images to be built is not about this one, but for its verification.
    config = configuration(config_file).with_verify(sandbox=sandbox)
    config = replace(config, image=replace(config.image, base=base))
    source = image_source(text)
    for output in outputs:
        check_form(output)
        check_output(output, config)
        _check_not_source(output, source)
    proof = _proof(source, verify, check=check)
    cache = default_cache()
    with Registries(insecure=insecure) as registries, cache.scratch() as scratch:
        with taken_for(source):
            found = open_deliverable(
                source,
                registries,
                blobs=BlobStore(cache.blobs),
                platform=Platform.parse(resolve(platform)) if platform else None,
                ref=ref,
                progress=progress,
            )
        layers = LayerCache(cache, BlobStore(scratch / "blobs", durable=False))
        if proof != "bases":
            prefetch(found, registries, progress)
        results = tuple(
            rebase(
                image,
                config,
                cache=cache,
                layers=layers,
                scratch=scratch / str(number),
                proof=proof,
                runtime=runtime or "",
                registries=registries,
                progress=progress,
            )
            for number, image in enumerate(images_of(found))
        )
        names = _names(source, ref, tags, found)
        done = _Done(_joined(found, results), results, names, Outputs() if silent else places)
        done = layers.healing(lambda: _delivered(done, source, registries, progress))
    _show(done, quiet=quiet, as_json=as_json)
    if check and done.changed:
        sys.exit(1)


def _proof(source: Source, verify: bool | None, *, check: bool) -> Proof:
    if verify is not None:
        return "run" if verify else "bases"
    return "files" if isinstance(source, Path) and not check else "bases"


def _check_not_source(output: str, source: Source) -> None:
    """Refuse to write over a file while it is read; a layout takes one more image."""
    if isinstance(source, Path) and source.is_file() and Path(output).resolve() == source.resolve():
        raise InputError(
            f"{output} is the input, which is never written to", hint="choose another place"
        )


def _joined(found: Deliverable, results: Sequence[Rebased]) -> Deliverable:
    images = tuple(result.image for result in results)
    if isinstance(found, Index):
        return Index(images, annotations=found.annotations)
    return images[0]


def _names(source: Source, ref: str, tags: tuple[str, ...], found: Deliverable) -> tuple[str, ...]:
    return tags or ((ref,) if ref else image_names(source, found.digest))


def _delivered(done: _Done, source: Source, registries: Registries, progress: Progress) -> _Done:
    others = (source,) if isinstance(source, Reference) else ()
    if done.outputs.paths or done.outputs.load:
        prefetch(done.target, registries, progress)
    if done.outputs.load:
        engine = choose(done.outputs.load).name
        done = replace(done, outputs=replace(done.outputs, load=engine))
    pushing = Pushing(registries, others)
    pushed = deliver(done.target, done.names, done.outputs, progress, pushing=pushing).pushed
    return replace(done, pushed=pushed)


def _show(done: _Done, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_json(done), indent=2))
    elif quiet:
        click.echo(done.target.digest)
    else:
        click.echo("\n".join(_lines(done)))


def _json(done: _Done) -> dict[str, object]:
    return {
        "changed": done.changed,
        "digest": done.target.digest,
        "references": done.names,
        "outputs": done.outputs.paths,
        "loaded": done.outputs.load,
        "pushed": asdict(done.pushed) if done.pushed else None,
        "images": [_json_of(result) for result in done.results],
    }


def _json_of(result: Rebased) -> dict[str, object]:
    return {
        "platform": str(result.image.platform),
        "digest": result.image.digest,
        "image_id": result.image.config_digest,
        "changed": result.changed,
        "runtime": {"old": result.old_runtime, "new": result.new_runtime},
        "glibc": asdict(result.glibc),
        "changes": [asdict(change) for change in result.changes],
        "kept": result.kept,
        "replaced": result.replaced,
        "verified": result.verified.to_json() if result.verified else None,
        "notes": result.notes,
    }


def _lines(done: _Done) -> list[str]:
    lines: list[str] = []
    for result in done.results:
        lines += _lines_of(result)
    lines.append(f"digest    {done.target.digest}")
    if done.names:
        lines.append(f"tags      {', '.join(done.names)}")
    lines += [f"written   {path}" for path in done.outputs.paths]
    if done.outputs.load:
        lines.append(f"loaded    into {done.outputs.load}")
    if done.pushed:
        lines += [f"pushed    {reference}" for reference in done.pushed.references]
        lines.append(
            f"sent      {megabytes(done.pushed.sent)} MB; "
            f"{megabytes(done.pushed.mounted + done.pushed.present)} MB were there"
        )
    lines += [f"note: {note}" for result in done.results for note in result.notes]
    return lines


def _lines_of(result: Rebased) -> list[str]:
    lines = []
    if result.changes:
        rows = [(one.name, one.old or "-", one.new or "-") for one in result.changes]
        lines += ["", table(("package", "old", "new"), rows), ""]
    names = dict.fromkeys((result.old_runtime or "an image", result.new_runtime or "an image"))
    state = "" if result.changed else ", the newest already"
    lines += [
        f"platform  {result.image.platform}",
        f"base      {' -> '.join(names)}{state}",
        f"glibc     {' -> '.join(dict.fromkeys((result.glibc.old, result.glibc.new)))}",
        f"layers    {megabytes(result.kept)} MB stay, {megabytes(result.replaced)} MB of base",
    ]
    if result.verified:
        made = [one for one in result.verified.results if not one.skipped]
        lines.append(f"verified  {len(made)} checks")
    return lines
