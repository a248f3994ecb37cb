"""What goes into a bundle, and the members that come of it, in their order."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from slimpack.bundle.model import Attached, Blob, Bundled, File, FileKind, Patch, Statement
from slimpack.errors import BundleError
from slimpack.oci.archive import LAYOUT_FILE, index_entries, index_json, json_blobs
from slimpack.oci.digest import ByteStream, hex_of, sha256
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.validate import validate
from slimpack.tree import Entry, Kind

Opener = Callable[[], ByteStream]


@dataclass(frozen=True)
class Part:
    """A member to write. size: in bytes. digest: sha256 of its content."""

    path: str
    size: int
    digest: str
    open: Opener = field(repr=False, compare=False)

    @staticmethod
    def of(path: str, data: bytes) -> Part:
        """Return one whose content is held in memory."""
        return Part(path, len(data), sha256(data), lambda: io.BytesIO(data))

    def entry(self) -> Entry:
        """Return it as a member of a tar."""
        return Entry(
            path=self.path,
            kind=Kind.FILE,
            mode=0o644,
            size=self.size,
            opener=cast("Callable[[], BinaryIO]", self.open),
        )


@dataclass(frozen=True)
class Document:
    """What tells of an image, with its bytes. blobs: config and layers of its manifest."""

    attached: Attached
    manifest: bytes = field(repr=False)
    blobs: tuple[Part, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """By which documents are sorted, and known again."""
        attached = self.attached
        return attached.subject, attached.tag, str(attached.descriptor["digest"])


@dataclass(frozen=True)
class Packed:
    """An image, or an index of images, to put into a bundle. names: full ones."""

    names: tuple[str, ...]
    target: Deliverable
    documents: tuple[Document, ...] = ()


@dataclass(frozen=True)
class Extra:
    """A file beside the images. part.path: where it lies in the bundle."""

    part: Part
    kind: FileKind


@dataclass(frozen=True)
class Contents:
    """All that a bundle is to hold.

    absent: blobs to leave out, because the far side has them. patches: with their bytes;
    the blobs that they make are left out, too. since, created, tool: see `Statement`.
    """

    images: tuple[Packed, ...] = ()
    extras: tuple[Extra, ...] = ()
    absent: frozenset[str] = frozenset()
    patches: tuple[tuple[Patch, Opener], ...] = ()
    since: tuple[str, ...] = ()
    created: int | None = None
    tool: str = ""


@dataclass(frozen=True)
class Plan:
    """The statement of a bundle, and all members beside it and its signature, in order."""

    statement: Statement
    parts: tuple[Part, ...]


Texts = Callable[[Statement], Iterable[Part]]
"""Makes the texts of a bundle (README.txt, install.sh) of a statement that lacks them."""


def plan(contents: Contents, texts: Texts | None = None) -> Plan:
    """Return the members of a bundle.

    Raises ImageError for an image that is not consistent, BundleError for two files of one path.
    """
    for packed in contents.images:
        for image in images_of(packed.target):
            validate(image, blobs=False)
    layout = [Extra(part, "layout") for part in layout_parts(contents.images)]
    jsons, layers = _blob_parts(contents.images)
    patched = {patch.target.digest for patch, _ in contents.patches}
    missing = [part for part in layers if part.digest in contents.absent]
    layers = [part for part in layers if part.digest not in contents.absent | patched]
    statement = Statement(
        images=tuple(_bundled(packed) for packed in contents.images),
        blobs=tuple(Blob(part.digest, part.size) for part in (*jsons, *layers)),
        files=tuple(sorted(_file(extra) for extra in (*layout, *contents.extras))),
        patches=tuple(sorted(patch for patch, _ in contents.patches)),
        absent=tuple(sorted(Blob(part.digest, part.size) for part in missing)),
        since=contents.since,
        created=contents.created,
        tool=contents.tool,
    )
    _check_once(contents.extras)
    said = [Extra(part, "text") for part in texts(statement)] if texts else []
    statement = replace(
        statement, files=tuple(sorted((*statement.files, *(_file(extra) for extra in said))))
    )
    sums = Extra(sums_part(statement), "text")
    statement = replace(statement, files=tuple(sorted((*statement.files, _file(sums)))))
    patches = [
        Part(patch.path, patch.size, patch.digest, opener) for patch, opener in contents.patches
    ]
    extras = (extra.part for extra in (*said, sums, *layout, *contents.extras))
    parts = {part.path: part for part in (*extras, *jsons, *layers, *patches)}
    return Plan(statement, tuple(parts[path] for path, _, _ in statement.members))


def _check_once(extras: Iterable[Extra]) -> None:
    seen: set[str] = set()
    for extra in extras:
        if extra.part.path in seen:
            raise BundleError(f"two files of a bundle would be {extra.part.path}")
        seen.add(extra.part.path)


def _bundled(packed: Packed) -> Bundled:
    attached = tuple(document.attached for document in packed.documents)
    return Bundled(packed.names, packed.target.descriptor(), attached)


def _file(extra: Extra) -> File:
    return File(extra.part.path, extra.part.size, extra.part.digest, extra.kind)


def layout_parts(images: Iterable[Packed]) -> Iterator[Part]:
    """Yield what makes the blobs an OCI layout and a docker-archive at once.

    Of documents, what is attached is asked for, and neither manifests nor blobs.
    """
    listed: list[Object] = []
    docker: list[Object] = []
    for packed in images:
        listed += index_entries(packed.target, packed.names)
        listed += [document.attached.descriptor for document in packed.documents]
        docker.append(docker_manifest(packed.names, images_of(packed.target)[0]))
    yield Part.of("oci-layout", LAYOUT_FILE)
    yield Part.of("index.json", index_json(listed))
    yield Part.of("manifest.json", canonical(docker))


def docker_manifest(names: Iterable[str], image: Image) -> Object:
    """Return what a docker-archive says of an image; of an index it knows one image.

    Names are full: podman would take a short one for localhost's.
    """
    return {
        "Config": Blob(image.config_digest, 0).path,
        "RepoTags": list(names),
        "Layers": [Blob(layer.digest, 0).path for layer in image.layers],
    }


def _blob_parts(images: Iterable[Packed]) -> tuple[list[Part], list[Part]]:
    """Return the blobs that are JSON (and documents), and the layers, each once.

    What names others comes before them, so that who reads a stream knows what each is.
    """
    jsons: dict[str, Part] = {}
    layers: dict[str, Part] = {}
    for packed in images:
        # Where an index names an image that came already, its manifest is there already.
        for digest, data in reversed(json_blobs(packed.target).items()):
            jsons.setdefault(digest, Part.of(Blob(digest, 0).path, data))
        for document in packed.documents:
            digest = sha256(document.manifest)
            jsons.setdefault(digest, Part.of(Blob(digest, 0).path, document.manifest))
            for part in document.blobs:
                jsons.setdefault(part.digest, part)
        for image in images_of(packed.target):
            for layer in image.layers:
                path = Blob(layer.digest, layer.size).path
                layers[layer.digest] = Part(path, layer.size, layer.digest, layer.open)
    rest = (part for part in layers.values() if part.digest not in jsons)
    return list(jsons.values()), sorted(rest, key=lambda part: part.path)


def sums_part(statement: Statement) -> Part:
    """Return SHA256SUMS of all other members that the statement names, for `sha256sum -c`."""
    lines = [f"{hex_of(digest)}  {path}\n" for path, _, digest in sorted(statement.members)]
    return Part.of("SHA256SUMS", "".join(lines).encode())
