"""Small bundles to bring to a far side, with documents, and readers of what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from slimpack.bundle.contents import Contents, Document, Packed, Part, plan
from slimpack.bundle.model import Attached, Blob
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.write import write_bundle
from slimpack.oci.artifact import Artifact
from slimpack.oci.artifact import Document as Text
from slimpack.oci.digest import hex_of
from slimpack.oci.image import CONFIG_TYPE, Image, make_image
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.listing import entry_name, listed_entries
from slimpack.oci.read import read_described
from slimpack.oci.source import folder_files
from tests.oci.oci_images import sample_config
from tests.registry.conftest import random_image

SERVE = "docker.io/library/serve:1.0"
SBOM = "application/vnd.cyclonedx+json"


def document(target: Deliverable, text: bytes = b'{"bom": 1}') -> Document:
    """A referrer, as slimpack attaches SBOMs."""
    artifact = Artifact(SBOM, (Text(SBOM, text),), target.descriptor())
    return _document(artifact, Attached(artifact.descriptor(), target.digest))


def signature(target: Deliverable, text: bytes = b"signed") -> Document:
    """What cosign keeps under a tag: it has the config of an image, and no subject."""
    artifact = Artifact(
        "",
        (Text("application/vnd.dev.cosign.simplesigning.v1+json", text),),
        config=Text(CONFIG_TYPE, b'{"architecture":"","os":"","rootfs":{"type":"layers"}}'),
    )
    tag = f"sha256-{hex_of(target.digest)}.sig"
    return _document(artifact, Attached(artifact.descriptor(), target.digest, tag))


def _document(artifact: Artifact, attached: Attached) -> Document:
    parts = tuple(Part.of(Blob(one.digest, 0).path, one.data) for one in artifact.blobs)
    return Document(attached, artifact.manifest_json, parts)


def image_of(folder: Path, seed: int, *sizes: int) -> Image:
    """Return an image of incompressible layers, other ones for each seed."""
    return random_image(folder / f"image{seed}", *(sizes or (200_000, 3_000, 100)), seed=seed)


def index_of(folder: Path, seed: int) -> Index:
    arm = replace(sample_config(), architecture="arm64")
    return Index(
        (image_of(folder, seed), make_image(image_of(folder, seed + 1000, 5_000).layers, arm))
    )


def packed(target: Deliverable, *names: str, documents: Iterable[Document] = ()) -> Packed:
    return Packed(names or (SERVE,), target, tuple(documents))


def bundle_of(
    path: Path,
    *images: Packed,
    absent: Iterable[str] = (),
    created: int | None = None,
) -> Bundle:
    """Write a bundle and open it."""
    contents = Contents(images, absent=frozenset(absent), created=created, tool="test")
    write_bundle(plan(contents), path)
    return open_bundle(path)


def damage(bundle: Bundle, blob: str) -> None:
    """Flip a bit in the last byte of a blob of a bundle."""
    where = bundle.files.find(Blob(blob, 0).path)
    data = bytearray(bundle.path.read_bytes())
    stream = where.open()
    start = data.index(stream.read(64))
    stream.close()
    data[start + where.size - 1] ^= 1
    bundle.path.write_bytes(data)


def layout_image(path: Path, name: str) -> Deliverable | None:
    """Read the image of that name in a layout, every byte of it; None if there is none."""
    files = folder_files(path)
    for entry in listed_entries(path):
        if entry_name(entry) == name and not entry.get("artifactType"):
            target = read_described(files, entry)
            read_layers(images_of(target))
            return target
    return None


def read_layers(images: Sequence[Image]) -> None:
    """Read every byte, which verifies it."""
    for image in images:
        for layer in image.layers:
            with layer.open_tar() as tar:
                assert tar.read()
