"""Where documents about images lie: in registries, in layouts, beside files, in other bundles."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from slimpack.bundle.contents import Document, Opener
from slimpack.bundle.documents import BlobOpener, Candidate, Shelf, documents_about
from slimpack.bundle.images import Opened, Registered
from slimpack.bundle.model import Blob
from slimpack.bundle.reader import Bundle
from slimpack.errors import InputError
from slimpack.oci import jsontext
from slimpack.oci.config import rfc3339
from slimpack.oci.digest import check_digest, hex_of
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.parse import MANIFEST_TYPES, MAX_MANIFEST, check_blob
from slimpack.oci.read import open_files
from slimpack.oci.several import listed_artifacts
from slimpack.oci.source import Files
from slimpack.progress import Progress
from slimpack.registry.download import Kept, RemoteLayer
from slimpack.registry.failures import NotThereError
from slimpack.registry.streaming import StreamedLayer

COSIGN_TAGS = ("sig", "att", "sbom")
"""Ends of the tags under which cosign keeps signatures, attestations and SBOMs."""


def documents_of(opened: Opened, means: Registered) -> tuple[Document, ...]:
    """Return all that tells of an image where it is from; raise as `documents_about` does."""
    return documents_about(opened.target, shelf_of(opened, means), means.progress)


def shelf_of(opened: Opened, means: Registered) -> Shelf:
    """Return where documents about an image are."""
    origin = opened.origin
    if isinstance(origin, Bundle):
        return lambda subject: in_bundle(origin, subject)
    if isinstance(origin, Path):
        files = open_files(origin)
        listed = by_subject(files) if files.has("index.json") else {}
        beside = beside_file(origin, opened.target, means.progress) if origin.is_file() else {}
        return lambda subject: (*listed.get(subject, ()), *beside.get(subject, ()))
    registry = means.registries.of(origin.host)
    kept = Kept(registry, origin.repository, means.blobs, means.progress)
    return lambda subject: chain(referrers(kept, subject), tagged(kept, subject))


def in_bundle(bundle: Bundle, subject: str) -> Iterator[Candidate]:
    """Yield what a bundle has about a manifest."""

    def opener(digest: str, size: int) -> Opener:
        return bundle.files.find(Blob(digest, size).path).open

    for one in (item for image in bundle.statement.images for item in image.attached):
        if one.subject == subject:
            said = jsontext.text(one.descriptor, "artifactType", "a document")
            yield Candidate(bundle.manifest(one.descriptor), opener, one.tag, said)


def by_subject(files: Files) -> dict[str, list[Candidate]]:
    """Return what an OCI layout lists beside images, by what it tells of."""

    def opener(digest: str, size: int) -> Opener:
        return files.find(Blob(digest, size).path).open

    found: dict[str, list[Candidate]] = {}
    for item in listed_artifacts(files):
        digest = check_digest(item.get("digest"), "index.json")
        data = check_blob(files.read(Blob(digest, 0).path, MAX_MANIFEST), item, "manifest")
        manifest = jsontext.parse_object(data, f"manifest {digest}")
        subject = jsontext.text(jsontext.mapping(manifest, "subject", digest), "digest", digest)
        said = jsontext.text(item, "artifactType", "index.json")
        found.setdefault(subject, []).append(Candidate(data, opener, artifact_type=said))
    return found


def beside_file(path: Path, target: Deliverable, progress: Progress) -> dict[str, list[Candidate]]:
    """Return documents that `slimpack build` wrote beside the tar of an image, by image.

    One that tells of another image is left out, with a warning.
    """
    from slimpack.attestation import FORMS, file_of  # a tenth of a second

    found: dict[str, list[Candidate]] = {}
    images = images_of(target)
    for image in images:
        for form in FORMS.values():
            places = [file_of(path, form, str(image.platform))]
            places += [file_of(path, form)] if len(images) == 1 else []
            for place in places:
                if place.is_file() and (made := _beside(place, image, progress)):
                    found.setdefault(image.digest, []).append(made)
    return found


def _beside(place: Path, image: Image, progress: Progress) -> Candidate | None:
    from slimpack.attestation import read_document

    try:
        document = read_document(place)
    except InputError as error:
        progress.warn(f"{place} is left out: {error.message}")
        return None
    if image.digest not in document.about:
        progress.warn(f"{place} is left out: it does not tell of the image {image.digest}")
        return None
    dated = replace(document, created=rfc3339(image.config.created))
    artifact = dated.artifact(image.descriptor())
    config = artifact.config

    def opener(digest: str, size: int) -> Opener:
        if digest == config.digest:
            return lambda: io.BytesIO(config.data)
        return lambda: place.open("rb")

    return Candidate(artifact.manifest_json, opener)


def referrers(kept: Kept, subject: str) -> Iterator[Candidate]:
    """Yield the referrers of a manifest in a registry."""
    for item in kept.registry.referrers(kept.repository, subject):
        digest = check_digest(item.get("digest"), "a list of referrers")
        if item.get("mediaType") not in MANIFEST_TYPES:
            kept.progress.warn(f"the referrer {digest} is left out: it is an index")
            continue
        data = kept.cached(digest, MAX_MANIFEST)
        if data is None:
            data = kept.registry.get_manifest(kept.repository, digest).data
            kept.store.add(data)
        said = item.get("artifactType")
        yield Candidate(data, _remote(kept), artifact_type=said if isinstance(said, str) else "")


def tagged(kept: Kept, subject: str) -> Iterator[Candidate]:
    """Yield what cosign keeps about a manifest under tags."""
    for end in COSIGN_TAGS:
        tag = f"sha256-{hex_of(subject)}.{end}"
        try:
            manifest = kept.registry.get_manifest(kept.repository, tag)
        except NotThereError:
            continue
        # What cosign calls it where it is a referrer.
        said = f"application/vnd.dev.cosign.artifact.{end}.v1+json"
        yield Candidate(manifest.data, _remote(kept), tag, said)


def _remote(kept: Kept) -> BlobOpener:
    def opener(digest: str, size: int) -> Opener:
        return StreamedLayer(RemoteLayer(kept, digest, size))

    return opener
