"""``slimpack attest``."""

from __future__ import annotations

from pathlib import Path

import click

from slimpack.attaching import attach, find_subject
from slimpack.attestation import Attestation, documents_of, read_document
from slimpack.cache import default_cache
from slimpack.cli.images import reference
from slimpack.cli.progress import choose
from slimpack.cli.sign import key_help, tlog_option
from slimpack.cli.telling import insecure_option, sbom_option
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.index import images_of
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import prefetch, pull_all
from slimpack.registry.reference import Reference
from slimpack.signing import Signer


@click.command("attest", short_help="Attach SBOMs and provenance to an image in a registry.")
@click.argument("text", metavar="REF")
@sbom_option
@click.option(
    "--provenance",
    "provenance",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Provenance that `slimpack build --provenance` wrote.",
)
@click.option(
    "--document",
    "documents",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CycloneDX, SPDX or provenance that lies in a file; more than once for several.",
)
@click.option("--key", metavar="KEY", help=f"Sign them, too. {key_help}")
@tlog_option
@insecure_option
def attest_command(
    text: str,
    sboms: tuple[str, ...],
    provenance: Path | None,
    documents: tuple[Path, ...],
    key: str | None,
    tlog: bool,
    insecure: bool,
) -> None:
    """Attach documents to the image that REF names in a registry, as its referrers.

    With --key each is also signed by cosign as an attestation, which `cosign
    verify-attestation` checks. --sbom reads the image itself: its layers are pulled unless
    they are in the cache.
    """
    files = [*documents, *([provenance] if provenance else [])]
    if not (files or sboms):
        raise click.UsageError("nothing to attach: pass --sbom, --provenance or --document")
    signer = Signer(key, tlog=tlog, insecure=insecure) if key else None
    if signer is not None:
        signer.check()
    given = [read_document(path) for path in files]
    if provenance and given[-1].form.name != "provenance":
        raise InputError(
            f"{provenance} is no provenance, but {given[-1].form.name}",
            hint="attach it with --document",
        )
    wanted = reference(text)
    with Registries(insecure=insecure) as registries:
        subject = find_subject(wanted, registries)
        made = _made(subject.reference, str(wanted), sboms, registries) if sboms else []
        for document, digest in attach([*made, *given], subject, registries, signer):
            verb = "attested" if signer else "attached"
            click.echo(f"{verb:<10}{document.form.name} {digest}")
    click.echo(f"to        {subject.reference}")


def _made(
    reference: Reference, name: str, sboms: tuple[str, ...], registries: Registries
) -> list[Attestation]:
    """Return the SBOMs of every image that a reference names."""
    progress = choose()
    blobs = BlobStore(default_cache().blobs)
    target = pull_all(reference, registries, blobs=blobs, progress=progress)
    prefetch(target, registries, progress)
    return [
        document for image in images_of(target) for document in documents_of(image, sboms, name)
    ]
