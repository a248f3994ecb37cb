"""``slimpack bundle create``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import click

from slimpack import __version__
from slimpack.bundle.bandwidth import Link, Traffic, Weight, traffic, weigh
from slimpack.bundle.contents import Contents, Part, Plan, plan
from slimpack.bundle.delta import as_delta
from slimpack.bundle.images import Registered
from slimpack.bundle.installer import PATH as INSTALLER
from slimpack.bundle.installer import installer as make_installer
from slimpack.bundle.model import File, Statement
from slimpack.bundle.readme import readme
from slimpack.bundle.since import known_since
from slimpack.bundle.write import Sign, Written, bundle_size, write_bundle
from slimpack.bundling.building import Means
from slimpack.bundling.gather import Gathered, Wanted, gather, old_images_of
from slimpack.bundling.payload import Payload, check_payload, with_payload
from slimpack.cache import Cache, default_cache
from slimpack.cli.bundle_options import (
    Since,
    check_bundle_output,
    created_option,
    names_option,
    since_options,
    volumes_option,
)
from slimpack.cli.bundle_payload import payload_options, write_script
from slimpack.cli.bundle_text import (
    images_table,
    link_option,
    traffic_json,
    traffic_table,
    weights_json,
)
from slimpack.cli.options import epoch
from slimpack.cli.sign import key_help, tlog_option
from slimpack.cli.table import megabytes
from slimpack.cli.telling import insecure_option, platform_option, sbom_option, telling_options
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import sha256
from slimpack.progress import Progress
from slimpack.registry.connecting import Registries
from slimpack.signing import Signer


@click.command("create", short_help="Put images, and what belongs to them, into one file.")
@click.argument("arguments", metavar="REF|IMAGE|SPEC...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE.tar", help="The bundle.")
@platform_option(
    "Only these of several, with commas or more than once [default: all of them].", multiple=True
)
@click.option(
    "--ref",
    "refs",
    multiple=True,
    metavar="NAME:TAG",
    help="Only images of this name, of files with several; more than once for several.",
)
@names_option
@click.option(
    "--documents/--no-documents",
    default=True,
    help="Whether SBOMs, provenance and signatures of the images go in [default: they do].",
)
@click.option(
    "--with-base",
    "bases",
    is_flag=True,
    help="Also the images that images stand on, where they say which; under their own names.",
)
@sbom_option
@click.option("--key", metavar="KEY", help=f"Sign the bundle. {key_help}")
@tlog_option
@payload_options
@created_option
@since_options
@volumes_option
@click.option(
    "--keep",
    is_flag=True,
    help="Keep what is downloaded in the cache, too: an interrupted run then goes on where it was.",
)
@link_option
@insecure_option
@telling_options("Print only the bundle's digest.")
def create_command(
    arguments: tuple[str, ...],
    output: str,
    platform: tuple[str, ...],
    refs: tuple[str, ...],
    names: tuple[tuple[str, str], ...],
    documents: bool,
    bases: bool,
    sboms: tuple[str, ...],
    key: str | None,
    tlog: bool,
    payload: Payload,
    installer: bool,
    created: int | None,
    since: Since,
    volume_size: int | None,
    keep: bool,
    links: tuple[Link, ...],
    insecure: bool,
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Put images into one file that carries them across an air gap, and proves itself.

    Each argument is an image in a registry (HOST/REPOSITORY:TAG), an OCI layout, a tar of
    one, a docker-archive, another bundle, or what `slimpack build` builds from. The file is
    an OCI layout and a docker-archive, too; what images share is in it once. The same
    contents always give the same bytes (docs/bundle.md).
    """
    check_bundle_output(output, (*arguments, *since.inputs))
    known = [known_since(path) for path in since.files]
    signer = Signer(key, tlog=tlog) if key else None
    if signer is not None:
        signer.check()
    check_payload(payload, arguments)
    platforms = tuple(part for text in platform for part in text.split(","))
    wanted = Wanted(
        arguments=arguments,
        platforms=platforms,
        refs=refs,
        names=names,
        documents=documents,
        bases=bases,
    )
    cache = default_cache()
    with cache.scratch() as scratch, Registries(insecure=insecure) as registries:
        registered = Registered(registries, BlobStore(cache.blobs), progress, keep=keep)
        means = _means(cache, progress, sboms, documents=documents)
        gathered = gather(wanted, registered, means, scratch)
        contents = Contents(
            images=tuple(one.packed for one in gathered.images),
            extras=with_payload(gathered, replace(payload, platforms=platforms), means, scratch),
            created=created,
            tool=f"slimpack {__version__}",
        )
        if known:
            contents = as_delta(
                contents,
                known,
                scratch,
                more=old_images_of(since.patch_from, registered),
                patches=since.patches,
                progress=progress,
            )
        planned = plan(contents, lambda statement: _texts(statement, contents, installer))
        written = _write(
            planned, Path(output), signer.sign_blob if signer else None, volume_size, progress
        )
        if installer:
            write_script(Path(output), _script(planned))
    done = _Done(sha256(planned.statement.to_json()), planned, gathered, written)
    if as_json:
        click.echo(json.dumps(done.json(links), indent=2))
    elif quiet:
        click.echo(done.digest)
    else:
        click.echo("\n".join(done.lines(links)))


def _texts(statement: Statement, contents: Contents, installer: bool) -> list[Part]:
    if not installer:
        return [readme(statement, contents)]
    script = make_installer(statement, contents)
    listed = File(script.path, script.size, script.digest, "text")
    statement = replace(statement, files=(*statement.files, listed))
    return [readme(statement, contents), script]


def _script(planned: Plan) -> bytes:
    part = next(part for part in planned.parts if part.path == INSTALLER)
    with closing(part.open()) as stream:
        return stream.read()


def _means(cache: Cache, progress: Progress, sboms: tuple[str, ...], *, documents: bool) -> Means:
    """Return how specifications are built; documents about them are made unless unwanted."""
    wanted = (*(sboms or ("cyclonedx",)), "provenance") if documents else ()
    return Means(cache, progress, epoch(), wanted)


def _write(
    planned: Plan, output: Path, sign: Sign | None, volume_size: int | None, progress: Progress
) -> Written:
    signed = sign(planned.statement.to_json()) if sign else b""
    total = bundle_size(planned, len(signed))
    with progress.task("write", total=total) as task:
        return write_bundle(
            planned,
            output,
            sign=(lambda _: signed) if sign else None,
            volume_size=volume_size,
            advance=task.advance,
        )


@dataclass(frozen=True)
class _Done:
    digest: str
    planned: Plan
    gathered: Gathered
    written: Written

    @property
    def weights(self) -> Sequence[Weight]:
        pairs = zip(self.planned.statement.images, self.gathered.images, strict=True)
        return [weigh(bundled, opened.target) for bundled, opened in pairs]

    @property
    def traffic(self) -> Traffic:
        targets = [one.target for one in self.gathered.images]
        return traffic(self.planned.statement, targets, self.written.size)

    def json(self, links: Sequence[Link]) -> dict[str, object]:
        """Return what was done as data."""
        return {
            "digest": self.digest,
            "size": self.written.size,
            "outputs": [str(path) for path in self.written.paths],
            "images": weights_json(self.weights),
            "traffic": traffic_json(self.traffic, links),
        }

    def lines(self, links: Sequence[Link]) -> list[str]:
        """Return what was done, for people."""
        found = self.traffic
        delta = self.planned.statement.is_delta
        return [
            "",
            images_table(self.weights),
            "",
            traffic_table(found, links, delta=delta),
            "",
            f"bundle    {self.digest}",
            f"blobs     {found.blobs}, each stored once; {megabytes(found.shared)} MB saved by "
            "sharing",
            *(f"written   {path}" for path in self.written.paths),
        ]
