"""A small bundle of every kind of member, and where each of them lies in it."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.bundle.contents import Contents, Document, Extra, Packed, Part, plan
from slimpack.bundle.model import Attached, Blob
from slimpack.bundle.verify import Asked, Verification, verify_bundle
from slimpack.bundle.write import write_bundle
from slimpack.oci.artifact import Artifact
from slimpack.oci.artifact import Document as Told
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index
from slimpack.oci.layer import build_layer
from slimpack.tree import bytes_entry
from tests.bundle.keys import KeyPair, key_pair
from tests.oci.oci_images import GZIP

NAME = "docker.io/library/serve:1.0"
LONG = "channel/noarch/" + "d" * 90 + "/" + "f" * 120 + ".conda"


@dataclass(frozen=True)
class Small:
    """A bundle that was written. data: its bytes."""

    path: Path
    data: bytes = field(repr=False)
    keys: KeyPair

    def verify(self, data: bytes | None = None, *, key: bool = True) -> Verification:
        """Verify it, or other bytes."""
        asked = Asked(key=self.keys.public if key else None)
        if data is None:
            return verify_bundle(self.path, asked)
        return verify_bundle(io.BytesIO(data), asked)

    def ranges(self) -> list[tuple[str, int, int, int]]:
        """Return name, and where header, content and the next member begin, of each member."""
        with tarfile.open(fileobj=io.BytesIO(self.data)) as archive:
            members = archive.getmembers()
        begins = [member.offset for member in members]
        end = members[-1].offset_data + (members[-1].size + 511) // 512 * 512
        return [
            (member.name, member.offset, member.offset_data, after)
            for member, after in zip(members, [*begins[1:], end], strict=True)
        ]

    def place(self, name: str) -> tuple[int, int, int]:
        """Return where header and content of a member begin, and where it ends."""
        return next(found[1:] for found in self.ranges() if found[0] == name)


def image(folder: Path, architecture: str, text: bytes) -> Image:
    store = BlobStore(folder / "blobs", durable=False)
    layers = [
        build_layer(
            name, [bytes_entry(f"opt/{name}", data)], blobs=store, mtime=0, compression=GZIP
        )
        for name, data in (("numpy-2.1", b"shared"), ("application", text))
    ]
    return make_image(layers, ImageConfig(architecture=architecture, env=(("A", text.decode()),)))


def contents(folder: Path) -> Contents:
    """Return an index of two images with an SBOM, a lock, and packages of a channel."""
    images = (image(folder, "amd64", b"one"), image(folder, "arm64", b"another"))
    index = Index(images)
    sbom = Told("application/spdx+json", b'{"SPDXID": "it"}', {})
    artifact = Artifact("application/spdx+json", (sbom,), index.descriptor())
    attached = Attached(artifact.descriptor(), index.digest)
    blobs = tuple(Part.of(Blob(one.digest, 0).path, one.data) for one in artifact.blobs)
    return Contents(
        (Packed((NAME,), index, (Document(attached, artifact.manifest_json, blobs),)),),
        (
            Extra(Part.of("locks/serve.lock", b"a lock\n"), "lock"),
            Extra(Part.of("channel/noarch/numpy-2.1-0.conda", b"x" * 512), "channel"),
            Extra(Part.of(LONG, b"long"), "channel"),
        ),
        created=1_750_000_000,
        tool="test",
    )


def small(folder: Path) -> Small:
    """Write such a bundle, signed."""
    keys = key_pair(folder, "site")
    path = folder / "site.slimpack.tar"
    write_bundle(plan(contents(folder)), path, sign=keys.sign)
    return Small(path, path.read_bytes(), keys)
