"""What tests of `slimpack bundle create` share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimpack.bundle.model import Attached
from slimpack.bundle.reader import Bundle
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.index import Index
from tests.oci.oci_images import PLAIN, sample_image


def note(subject: dict[str, object], text: bytes = b"a note") -> Artifact:
    return Artifact("text/x-note", (Document("text/plain", text),), subject)


def attached(bundle: Bundle) -> list[Attached]:
    return [one for image in bundle.statement.images for one in image.attached]


def told(bundle: Bundle, one: Attached) -> bytes:
    """Return the last layer of a document, verified."""
    blob = list(bundle.document_blobs(one.descriptor))[-1]
    return bundle.read(blob.path, blob.size)


def index_of(folder: Path) -> Index:
    image = sample_image(folder, PLAIN)
    arm = replace(image, config=replace(image.config, architecture="arm64"))
    return Index((image, arm))
