"""Options of ``slimpack build`` that say where the image goes, and what goes with it."""

from __future__ import annotations

import functools
from typing import Any

import click

from slimpack.cli.outputs import check_output, root_format
from slimpack.cli.telling import Function, insecure_option, sbom_option, with_options
from slimpack.config import Config
from slimpack.outputs import AUTO, ENGINES, ROOT_FORMATS, Outputs, RemoteCaching, RootOutput
from slimpack.registry.reference import Reference

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        "paths",
        multiple=True,
        metavar="PATH",
        help="FILE.tar (OCI layout and docker-archive at once), FOLDER/ (OCI layout), FILE.sqsh "
        "or FILE.sif (root file system for HPC sites: docs/hpc.md).",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(("oci", *ROOT_FORMATS)),
        help="What --output is [default: by its name].",
    ),
    click.option(
        "--load", is_flag=True, help="Load the image into an engine, the first that answers."
    ),
    click.option(
        "--load-into",
        type=click.Choice(ENGINES),
        help="Load it into this engine; DOCKER_HOST, CONTAINER_HOST and CONTAINERD_ADDRESS count.",
    ),
    click.option(
        "--push",
        "references",
        multiple=True,
        metavar="REF",
        help="Push it as HOST/REPOSITORY:TAG; more than once for several.",
    ),
    insecure_option,
    sbom_option,
    click.option(
        "--provenance", is_flag=True, help="Write SLSA provenance, too (docs/supply-chain.md)."
    ),
    click.option(
        "--builder-id",
        metavar="URI",
        default="",
        help="Who runs the build, for provenance [default: nobody in particular].",
    ),
    click.option(
        "--cache-from",
        "sources",
        multiple=True,
        metavar="REPOSITORY",
        help="HOST/REPOSITORY with what other machines built (docs/cache.md).",
    ),
    click.option(
        "--cache-to",
        "to",
        metavar="REPOSITORY",
        help="HOST/REPOSITORY where the next machine finds what this one builds.",
    ),
    click.option(
        "--no-cache",
        "fresh",
        is_flag=True,
        help="Use nothing that an earlier build made, downloads aside.",
    ),
)


def sink_options(function: Function) -> Function:
    """Give a command those options; it receives `outputs`, `remote` and `fresh`.

    It needs `config`.
    """

    @functools.wraps(function)
    def command(
        config: Config,
        paths: tuple[str, ...],
        format_: str | None,
        load: bool,
        load_into: str | None,
        references: tuple[str, ...],
        insecure: bool,
        sboms: tuple[str, ...],
        provenance: bool,
        builder_id: str,
        sources: tuple[str, ...],
        to: str | None,
        fresh: bool,
        **rest: Any,
    ) -> Any:
        if not (paths or load or load_into or references):
            raise click.UsageError(
                "nowhere to put the image: pass --output PATH, --load or --push REF"
            )
        if (sboms or provenance) and not (paths or references):
            raise click.UsageError(
                "an engine keeps no SBOM and no provenance: pass --output or --push, too"
            )
        if builder_id and not provenance:
            raise click.UsageError("--builder-id is told in provenance: pass --provenance, too")
        if format_ in ROOT_FORMATS and (load or load_into or references):
            raise click.UsageError(
                f"--format {format_}: engines and registries take images; name a file with "
                "--output, without --format, to write both"
            )
        forms = {path: root_format(path, format_) for path in paths}
        for path in paths:
            check_output(path, config)
        outputs = Outputs(
            paths=tuple(path for path in paths if not forms[path]),
            roots=tuple(RootOutput(path, form) for path, form in forms.items() if form),
            load=load_into or (AUTO if load else ""),
            push=tuple(map(Reference.parse, references)),
            insecure=insecure,
            documents=(*sboms, *(("provenance",) if provenance else ())),
            builder=builder_id,
        )
        if fresh and sources:
            raise click.UsageError("--no-cache and --cache-from contradict each other")
        remote = _remote(sources, to)
        return function(config=config, outputs=outputs, remote=remote, fresh=fresh, **rest)

    return with_options(_OPTIONS, command)


def _remote(sources: tuple[str, ...], to: str | None) -> RemoteCaching:
    if not (sources or to):
        return RemoteCaching()
    from slimpack.cache.remote import cache_reference  # which takes a while

    return RemoteCaching(tuple(map(cache_reference, sources)), cache_reference(to) if to else None)
