"""Documents and signatures for what is in a registry already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slimpack.attestation import Attestation
from slimpack.errors import InputError
from slimpack.oci import jsontext
from slimpack.oci.parse import INDEX_TYPES, is_attestation, parse_manifest
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push_artifact
from slimpack.registry.reference import Reference
from slimpack.signing import Signer


@dataclass(frozen=True)
class Subject:
    """A manifest in a registry that something is told of.

    descriptor: of it. reference: to it, by digest. images: descriptors of what an index
    lists, () for an image.
    """

    reference: Reference
    descriptor: dict[str, Any]
    images: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def is_index(self) -> bool:
        """Whether it is an index of images."""
        return self.descriptor["mediaType"] in INDEX_TYPES


def find_subject(reference: Reference, registries: Registries) -> Subject:
    """Return what a reference names now; a tag may name something else later.

    Raises RegistryError when it is not there, ImageError when it is malformed.
    """
    registry = registries.of(reference.host)
    manifest = registry.get_manifest(reference.repository, reference.target)
    parsed = parse_manifest(manifest.data, manifest.media_type, str(reference))
    descriptor = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.data),
    }
    listed = jsontext.objects(parsed, "manifests", str(reference))
    images = tuple(item for item in listed if not is_attestation(item))
    return Subject(reference.at(manifest.digest), descriptor, images)


def told_of(document: Attestation, subject: Subject) -> dict[str, Any]:
    """Return the descriptor of what a document tells of: the subject, or an image it lists.

    Raises InputError for a document that tells of something else.
    """
    candidates = (subject.descriptor, *subject.images)
    if not document.about:
        return subject.descriptor
    for item in candidates:
        if item["digest"] in document.about:
            return item
    raise InputError(
        f"the {document.form.name} document tells of {min(document.about)}, "
        f"not of {subject.reference}",
        hint="name the image that it was made for, or make a new one",
    )


def attach(
    documents: Sequence[Attestation],
    subject: Subject,
    registries: Registries,
    signer: Signer | None = None,
) -> list[tuple[Attestation, str]]:
    """Push documents as referrers of what they tell of; return each with its digest there.

    signer: signs each of them as well, as an attestation. Nothing is pushed unless all
    documents fit the subject. Raises InputError, RegistryError and SigningError.
    """
    placed = [(document, told_of(document, subject)) for document in documents]
    done = []
    for document, item in placed:
        digest = push_artifact(document.artifact(item), subject.reference, registries)
        done.append((document, digest))
        if signer is not None:
            signer.attest(str(subject.reference.at(str(item["digest"]))), document)
    return done
