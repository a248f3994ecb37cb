"""What is told of an image beside it: SBOMs, provenance, signatures.

Format: OCI image-spec v1.1, manifest.md, 'Guidelines for Artifact Usage' and 'subject':
a manifest whose config is empty, whose layers are the documents, and whose subject is
the manifest that it tells of. Registries list those as referrers
(distribution-spec v1.1, 'Listing Referrers').
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from slimpack.oci.digest import sha256
from slimpack.oci.image import MANIFEST_TYPE
from slimpack.oci.jsontext import Object, canonical

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"


@dataclass(frozen=True)
class Document:
    """One layer of an artifact: a small text held in memory.

    media_type: of the layer. annotations: of its descriptor, such as
    ``org.opencontainers.image.title``, the file name that oras gives it.
    """

    media_type: str
    data: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Digest of the text."""
        return sha256(self.data)

    def descriptor(self) -> Object:
        """Return its descriptor."""
        found: Object = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
        }
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


@dataclass(frozen=True)
class Artifact:
    """Documents that tell of another manifest.

    artifact_type: media type by which clients choose among referrers.
    subject: descriptor (mediaType, digest, size) of what it tells of, None for nothing.
    config: in place of the empty one, for clients that look at its media type (cosign).
    """

    artifact_type: str
    documents: tuple[Document, ...]
    subject: Mapping[str, object] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    config: Document = Document(EMPTY_TYPE, EMPTY)

    @cached_property
    def manifest_json(self) -> bytes:
        """The manifest."""
        manifest: Object = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.config.descriptor(),
            "layers": [document.descriptor() for document in self.documents],
        }
        if self.artifact_type:
            manifest["artifactType"] = self.artifact_type
        if self.subject is not None:
            names = ("mediaType", "digest", "size")
            manifest["subject"] = {name: self.subject[name] for name in names}
        if self.annotations:
            manifest["annotations"] = dict(self.annotations)
        return canonical(manifest)

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest."""
        return sha256(self.manifest_json)

    @property
    def blobs(self) -> tuple[Document, ...]:
        """All that has to be there before the manifest: config and documents, each once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.documents)}.values())

    def descriptor(self) -> Object:
        """Return what a list of referrers says of it."""
        found: Object = {
            "mediaType": MANIFEST_TYPE,
            "digest": self.digest,
            "size": len(self.manifest_json),
        }
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found
