"""Reading an image that lies on disk: OCI layout, OCI tar, docker-archive, or ours.

Formats: OCI image-spec v1.1, image-layout.md and image-index.md; Docker image
spec v1.2, 'Combined Image JSON + Filesystem Changeset Format' (``docker save``).

The input is not trusted. Nothing is extracted; JSON is bounded; blobs must have
the size that their descriptor declares, and are verified whenever they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.config import Platform
from slimpack.oci.decompress import sniff
from slimpack.oci.digest import HashingWriter, Nowhere, check_digest, chunks, hex_of, sha256
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable
from slimpack.oci.jsontext import Object
from slimpack.oci.layer import TAR, Layer, Source
from slimpack.oci.names import canonical_name
from slimpack.oci.parse import (
    INDEX_TYPES,
    MAX_CONFIG,
    MAX_MANIFEST,
    MAX_MANIFESTS,
    check_blob,
    is_attestation,
    layer_names,
    parse_config,
    parse_image,
    parse_index,
    parse_manifest,
)
from slimpack.oci.source import Files, folder_files, tar_files
from slimpack.oci.validate import validate

_FORMATS = (
    "give an OCI layout folder, a tar made by slimpack, docker save or skopeo, or an image in a "
    "registry with its host (docker.io/library/NAME:TAG)"
)


def read_image(path: Path, platform: Platform | None = None, *, ref: str = "") -> Image:
    """Read the image at `path`; its layers are opened only when they are wanted.

    path: an OCI layout folder, a tar of one, or what ``docker save`` writes.
    platform: which one to take when there are several; must match in any case.
    ref: the name (``serve:1.0``) or ref.name of the image to take.
    Digests of the image are those on disk: its JSON is kept byte for byte. Raises
    InputError when `path` is not there or holds several images and nothing
    chooses one; ImageError for everything that is malformed.
    """
    try:
        files = open_files(path)
        if files.has("index.json"):
            check_layout(files)
            found = _layout_images(files, ref)
        elif files.has("manifest.json"):
            found = docker_images(files, ref)
        else:
            raise ImageError(
                f"{path} is not an image: it has neither index.json (OCI layout) "
                "nor manifest.json (docker-archive)",
                hint=_FORMATS,
            )
        image = _choose(found, path, platform, ref)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    validate(image, blobs=False)
    return image


def read_deliverable(path: Path, *, ref: str = "") -> Deliverable:
    """Read the image at `path`, or all images of it where they have an index of their own.

    Raises as `read_image` does, which is also what chooses among several without an index.
    """
    try:
        files = open_files(path)
        item = _only_index(files, ref) if files.has("index.json") else None
        if item is None:
            return read_image(path, ref=ref)
        return read_described(files, item)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def read_described(files: Files, item: Object) -> Deliverable:
    """Read the image or the index whose manifest the descriptor `item` names.

    Raises ImageError for all that is malformed.
    """
    images = [found.image for found in _images_of([(item, "")], files)]
    for image in images:
        validate(image, blobs=False)
    kind = jsontext.text(item, "mediaType", "index.json")
    if kind in INDEX_TYPES:
        return parse_index(_blob(files, item, MAX_MANIFEST, "manifest"), kind, images)
    return images[0]


def _only_index(files: Files, ref: str) -> Object | None:
    """Return the descriptor of an index, if that is all there is under that name."""
    check_layout(files)
    # The documents that a build leaves in a layout stand beside the index.
    found = (item for item in _listed(files, ref) if not is_attestation(item))
    listed = {str(item.get("digest")): item for item in found}
    (item, *others) = listed.values() or [{}]
    return item if not others and item.get("mediaType") in INDEX_TYPES else None


def image_names(path: Path, digest: str) -> tuple[str, ...]:
    """Return what the image with that manifest digest is called in the file or folder `path`."""
    files = open_files(path)
    if not files.has("index.json"):
        found = (item.name for item in docker_images(files, "") if item.image.digest == digest)
        return tuple(name for names in found for name in names.split(", ") if name)
    index = jsontext.parse_object(files.read("index.json", MAX_MANIFEST), "index.json")
    items = jsontext.objects(index, "manifests", "index.json")
    found = (name_of(item) for item in items if item.get("digest") == digest)
    # skopeo writes a bare tag as the name; that names no image.
    return tuple(dict.fromkeys(name for name in found if ":" in name or "/" in name))


def open_files(path: Path) -> Files:
    """Return the files of an image's folder or tar; raise InputError if nothing is there."""
    if path.is_dir():
        return folder_files(path)
    if path.is_file():
        return tar_files(path)
    raise InputError(f"{path} does not exist", hint=_FORMATS)


@dataclass(frozen=True)
class Found:
    """An image, and what it is called: all its names, with commas between, "" for none."""

    name: str
    image: Image


def _choose(found: Iterator[Found], path: Path, platform: Platform | None, ref: str) -> Image:
    images: dict[str, Found] = {}
    for candidate in found:
        images.setdefault(candidate.image.digest, candidate)
    fitting = [
        candidate.image
        for candidate in images.values()
        if platform is None or candidate.image.platform.matches(platform)
    ]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(
        f"{candidate.name[:200]!r} for {str(candidate.image.platform)!r}"
        for candidate in images.values()
    )
    wanted = " ".join(filter(None, (ref, f"for {platform}" if platform else "")))
    if fitting:
        raise InputError(
            f"{path} holds {len(fitting)} images: {there}",
            hint="choose one with --platform, or by name with --ref",
        )
    raise InputError(
        f"{path} holds no image {wanted}".rstrip(),
        hint=f"it holds {there}" if there else "it is empty, or nothing in it has that name",
    )


def check_layout(files: Files) -> None:
    """Raise ImageError unless the file ``oci-layout`` is there and of version 1."""
    if not files.has("oci-layout"):
        raise ImageError(f"{files.what} has an index.json, but no oci-layout file")
    layout = jsontext.parse_object(files.read("oci-layout", MAX_MANIFEST), "oci-layout")
    version = jsontext.text(layout, "imageLayoutVersion", "oci-layout")
    if version.partition(".")[0] != "1":
        raise ImageError(f"{files.what} is an OCI layout of the unknown version {version[:20]!r}")


def _layout_images(files: Files, ref: str) -> Iterator[Found]:
    """Yield every image of the index, nested indexes included; those named `ref` if given."""
    return _images_of([(item, name_of(item)) for item in _listed(files, ref)], files)


def _listed(files: Files, ref: str) -> list[Object]:
    index = jsontext.parse_object(files.read("index.json", MAX_MANIFEST), "index.json")
    items = jsontext.objects(index, "manifests", "index.json")
    return [item for item in items if not ref or _is_named(item, ref)]


def _images_of(waiting: list[tuple[Object, str]], files: Files) -> Iterator[Found]:
    seen: set[str] = set()
    while waiting:
        item, name = waiting.pop(0)
        digest = check_digest(item.get("digest"), "index.json")
        if digest in seen or is_attestation(item):
            continue
        seen.add(digest)
        if len(seen) > MAX_MANIFESTS:
            raise ImageError(f"{files.what} lists more than {MAX_MANIFESTS} images")
        data = _blob(files, item, MAX_MANIFEST, "manifest")
        kind = jsontext.text(item, "mediaType", "index.json")
        manifest = parse_manifest(data, kind, f"manifest {digest}")
        if kind in INDEX_TYPES:
            nested = jsontext.objects(manifest, "manifests", digest)
            waiting += [(below, name) for below in nested]
        else:
            yield Found(name, _manifest_image(files, data, manifest, kind))


def name_of(item: Object) -> str:
    """Return what an entry of index.json is called, "" if nothing."""
    annotations = jsontext.text_mapping(item, "annotations", "index.json")
    return annotations.get("org.opencontainers.image.ref.name", "") or annotations.get(
        "io.containerd.image.name", ""
    )


def _is_named(item: Object, ref: str) -> bool:
    annotations = jsontext.text_mapping(item, "annotations", "index.json")
    names = (
        annotations.get("org.opencontainers.image.ref.name"),
        annotations.get("io.containerd.image.name"),
    )
    return ref in names or _full(ref) in names


def _full(ref: str) -> str:
    try:
        return canonical_name(ref)
    except InputError:
        return ref


def _blob(files: Files, item: Object, limit: int, what: str) -> bytes:
    """Return the verified content of the small blob that the descriptor `item` names."""
    digest = check_digest(item.get("digest"), what)
    return check_blob(files.read(f"blobs/sha256/{hex_of(digest)}", limit), item, what)


def _manifest_image(files: Files, data: bytes, manifest: Object, kind: str) -> Image:
    def source(digest: str, size: int) -> Source:
        stored = files.find(f"blobs/sha256/{hex_of(digest)}")
        if stored.size != size:
            raise ImageError(f"layer {digest} has {stored.size} bytes, but declares {size}")
        return stored.open

    config = jsontext.mapping(manifest, "config", f"manifest {sha256(data)}")
    raw_config = _blob(files, config, MAX_CONFIG, "config")
    return parse_image(data, manifest, kind, raw_config, source)


def docker_images(files: Files, ref: str) -> Iterator[Found]:
    """Yield every image of a docker-archive; those named `ref` if given."""
    listed = jsontext.parse_list(files.read("manifest.json", MAX_MANIFEST), "manifest.json")
    if len(listed) > MAX_MANIFESTS:
        raise ImageError(f"{files.what} lists more than {MAX_MANIFESTS} images")
    for item in jsontext.objects({"images": listed}, "images", "manifest.json"):
        tags = jsontext.texts(item, "RepoTags", "manifest.json")
        if ref and ref not in tags and _full(ref) not in map(_full, tags):
            continue
        place = jsontext.text(item, "Config", "manifest.json")
        raw_config = files.read(place, MAX_CONFIG)
        named = PurePosixPath(place).name.removesuffix(".json")
        if len(named) == 64 and sha256(raw_config) != f"sha256:{named}":
            raise ImageError(f"config {named} does not match its digest")
        config, history, diff_ids = parse_config(raw_config, f"config {place}")
        places = jsontext.texts(item, "Layers", "manifest.json")
        if len(places) != len(diff_ids):
            raise ImageError(f"manifest.json lists {len(places)} layers, {place} {len(diff_ids)}")
        named_layers = zip(places, diff_ids, layer_names(history, places), strict=True)
        layers = tuple(_docker_layer(files, *layer) for layer in named_layers)
        yield Found(", ".join(tags), Image(layers, config, history, raw_config=raw_config))


def _docker_layer(files: Files, place: str, diff_id: str, name: str) -> Layer:
    """Describe a layer whose digest nobody wrote down: it is the diffID, or is computed."""
    stored = files.find(place)
    stream = stored.open()
    try:
        kind = sniff(stream.read(4))
    finally:
        stream.close()
    if kind == "none":
        return Layer(TAR, diff_id, stored.size, diff_id, stored.open, stored.size, name)
    sink = HashingWriter(Nowhere())
    stream = stored.open()
    try:
        for data in chunks(stream):
            sink.write(data)
    finally:
        stream.close()
    return Layer(f"{TAR}+{kind}", sink.digest, sink.size, diff_id, stored.open, None, name)
