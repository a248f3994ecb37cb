"""What tells of the images of a bundle: SBOMs, provenance, signatures.

Formats: OCI distribution-spec v1.1, 'Listing Referrers' and 'Referrers Tag Schema'; cosign's
tags (``sha256-HEX.sig``, ``.att``, ``.sbom`` beside an image). What tells of a document, such
as a signature of an SBOM, is a document as well.

What a registry or a layout says is not trusted: a document names its subject itself, numbers
and sizes are bounded, and bytes are checked against their digests when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from slimpack.bundle.contents import Document, Opener, Part
from slimpack.bundle.model import Attached, Blob
from slimpack.errors import ImageError
from slimpack.oci import jsontext
from slimpack.oci.digest import VerifyingReader, check_digest, sha256
from slimpack.oci.image import CONFIG_TYPE, MANIFEST_TYPE
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.jsontext import Object
from slimpack.progress import Progress

MAX_DOCUMENTS = 1000
"""Documents of one image that are taken, those of documents included."""

MAX_BLOB = 256 << 20
"""Bytes of one part of a document. Other things can be attached to images: models, file systems."""

UNKNOWN_TYPE = "application/vnd.unknown.artifact.v1"
"""What oras calls an artifact that does not say what it is."""

MAX_MANIFESTS = 64 << 20
"""Bytes of the manifests of all documents of one image, which are held in memory."""

_MAX_DEPTH = 3


BlobOpener = Callable[[str, int], Opener]
"""Returns what opens a blob of a digest and a size; verified by whoever calls it."""


@dataclass(frozen=True)
class Candidate:
    """A manifest that a shelf says tells of something. tag: see `Attached`.

    blob: opens its config and its layers. artifact_type: where the manifest says none.
    """

    data: bytes = field(repr=False)
    blob: BlobOpener
    tag: str = ""
    artifact_type: str = ""


Shelf = Callable[[str], Iterable[Candidate]]
"""Where documents lie: gives the manifests of what tells of the manifest with a digest."""


class _OddError(Exception):
    """Not a document that can be taken; the text says why."""


def documents_about(target: Deliverable, shelf: Shelf, progress: Progress) -> tuple[Document, ...]:
    """Return what a shelf has about an image, or an index and its images, and about that.

    What cannot be taken (it has a part that is too large) is told by a warning. Raises
    ImageError for more documents than are allowed, and what the shelf raises.
    """
    images = images_of(target) if isinstance(target, Index) else ()
    waiting = [(digest, 0) for digest in (target.digest, *(image.digest for image in images))]
    found: dict[tuple[str, str, str], Document] = {}
    seen: set[str] = set()
    count = size = 0
    while waiting:
        subject, depth = waiting.pop(0)
        if subject in seen:
            continue
        seen.add(subject)
        for candidate in shelf(subject):
            count += 1
            size += len(candidate.data)
            if count > MAX_DOCUMENTS or size > MAX_MANIFESTS:
                raise ImageError(
                    f"there are more than {MAX_DOCUMENTS} documents about {target.digest}, or "
                    f"their manifests have more than {MAX_MANIFESTS >> 20} MiB",
                    hint="leave them out with --no-documents",
                )
            try:
                document = _document(candidate, subject)
            except (ImageError, _OddError) as error:
                progress.warn(f"a document about {subject} is left out: {error}")
                continue
            found.setdefault(document.key, document)
            if depth < _MAX_DEPTH:
                waiting.append((str(document.attached.descriptor["digest"]), depth + 1))
    return tuple(found[key] for key in sorted(found))


def _document(candidate: Candidate, subject: str) -> Document:
    digest = sha256(candidate.data)
    what = f"manifest {digest}"
    manifest = jsontext.parse_object(candidate.data, what)
    kind = jsontext.text(manifest, "mediaType", what) or MANIFEST_TYPE
    if kind != MANIFEST_TYPE:
        raise _OddError(f"{digest} is of the type {kind[:100]!r}")
    if not candidate.tag:
        about = jsontext.text(jsontext.mapping(manifest, "subject", what), "digest", what)
        if about != subject:
            raise _OddError(f"{digest} tells of {about[:100] or 'nothing'}")
    config = jsontext.mapping(manifest, "config", what)
    artifact_type = (
        jsontext.text(manifest, "artifactType", what)
        or candidate.artifact_type
        or jsontext.text(config, "mediaType", what)
    )
    descriptor: Object = {
        "mediaType": kind,
        "digest": digest,
        "size": len(candidate.data),
        # Without one, readers of images would take it for an image.
        "artifactType": UNKNOWN_TYPE if artifact_type in ("", CONFIG_TYPE) else artifact_type,
    }
    annotations = jsontext.text_mapping(manifest, "annotations", what)
    if annotations:
        descriptor["annotations"] = annotations
    blobs = [_blob(item, what) for item in (config, *jsontext.objects(manifest, "layers", what))]
    parts = tuple(_part(blob, candidate.blob, digest) for blob in dict.fromkeys(blobs))
    return Document(Attached(descriptor, subject, candidate.tag), candidate.data, parts)


def _blob(item: Object, what: str) -> Blob:
    blob = Blob(check_digest(item.get("digest"), what), jsontext.number(item, "size", what))
    if blob.size > MAX_BLOB:
        raise _OddError(f"{what} has a part of {blob.size} bytes, more than {MAX_BLOB}")
    return blob


def _part(blob: Blob, opener: BlobOpener, document: str) -> Part:
    what = f"blob {blob.digest} of the document {document}"
    source = opener(blob.digest, blob.size)
    return Part(
        blob.path,
        blob.size,
        blob.digest,
        lambda: VerifyingReader(source(), blob.digest, blob.size, what),
    )
