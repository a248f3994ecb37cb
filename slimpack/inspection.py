"""What is in an image, whoever made it: layers, packages, sizes, config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser

from slimpack.oci.image import Image
from slimpack.oci.layer import Layer
from slimpack.oci.rootfs import Placed, merged_view, read_files
from slimpack.slim.bytecode import source_of

_CONDA = re.compile(r"(?P<prefix>.*?)/?conda-meta/[^/]+\.json\Z")
_DEBIAN = re.compile(r"var/lib/dpkg/status\.d/(?P<name>[^/]+)\Z")


@dataclass(frozen=True)
class LayerInfo:
    """A layer; sizes in bytes, files without directories.

    unpacked: bytes of the files that are visible in the image.
    """

    number: int
    name: str
    digest: str
    media_type: str
    compressed: int
    unpacked: int
    files: int


@dataclass(frozen=True)
class PackageInfo:
    """A package that the image's own records name.

    kind: "conda" or "debian". size: bytes of its files in the image, layer: the
    number of the layer that holds most of them (-1 for none).
    """

    kind: str
    name: str
    version: str
    build: str
    license: str
    size: int
    layer: int


@dataclass(frozen=True)
class Inspection:
    """All that `slimpack inspect` shows."""

    digest: str
    image_id: str
    platform: str
    compressed: int
    unpacked: int
    config: Mapping[str, object]
    layers: tuple[LayerInfo, ...]
    packages: tuple[PackageInfo, ...]


def inspect_image(image: Image) -> Inspection:
    """Read every layer of `image` once or twice and describe it.

    Raises ImageError for layers that are malformed or do not match their digests.
    """
    view = merged_view(image)
    records = read_files(image, _is_record, view=view)
    layers = tuple(_layer(number, layer, view) for number, layer in enumerate(image.layers))
    contents = _contents(view)
    packages = [_package(path, records, contents) for path in sorted(records)]
    config: dict[str, object] = json.loads(image.config_json).get("config") or {}
    return Inspection(
        digest=image.digest,
        image_id=image.config_digest,
        platform=str(image.platform),
        compressed=image.size,
        unpacked=sum(layer.unpacked for layer in layers),
        config=config,
        layers=layers,
        packages=tuple(package for package in packages if package),
    )


def _is_record(path: str) -> bool:
    return bool(_CONDA.match(path) or _DEBIAN.match(path))


def _layer(number: int, layer: Layer, view: Mapping[str, Placed]) -> LayerInfo:
    visible = [placed.member for placed in view.values() if placed.layer == number]
    return LayerInfo(
        number=number,
        name=layer.name,
        digest=layer.digest,
        media_type=layer.media_type,
        compressed=layer.size,
        unpacked=sum(member.size for member in visible),
        files=sum(member.kind != "directory" for member in visible),
    )


def _contents(view: Mapping[str, Placed]) -> dict[str, list[tuple[int, int]]]:
    """Return path -> (layer, size) of the file and of the bytecode that was made of it."""
    contents: dict[str, list[tuple[int, int]]] = {}
    for path, placed in view.items():
        contents.setdefault(source_of(path) or path, []).append((placed.layer, placed.member.size))
    return contents


def _package(
    path: str, records: Mapping[str, bytes], contents: Mapping[str, list[tuple[int, int]]]
) -> PackageInfo | None:
    """Describe the package of a record; None for a file that only looks like one."""
    conda = _CONDA.match(path)
    if conda is None:
        return _debian(path, records, contents)
    try:
        record = json.loads(records[path])
        prefix = f"{conda['prefix']}/" if conda["prefix"] else ""
        files = {path, *(f"{prefix}{file}" for file in record["files"])}
        size, layer = _place(files, contents)
        return PackageInfo(
            kind="conda",
            name=str(record["name"]),
            version=str(record["version"]),
            build=str(record.get("build", "")),
            license=str(record.get("license") or ""),
            size=size,
            layer=layer,
        )
    except (ValueError, KeyError, TypeError):
        return None


def _debian(
    path: str, records: Mapping[str, bytes], contents: Mapping[str, list[tuple[int, int]]]
) -> PackageInfo | None:
    """Describe a package of distroless' status.d, its files listed in NAME.md5sums beside it."""
    fields = HeaderParser().parsestr(records[path].decode("utf-8", "replace"))
    if "Package" not in fields or "Version" not in fields:
        return None
    sums = records.get(f"{path}.md5sums", b"").decode("utf-8", "replace").splitlines()
    size, layer = _place({path, *(line[34:] for line in sums)}, contents)
    return PackageInfo(
        kind="debian",
        name=str(fields["Package"]),
        version=str(fields["Version"]),
        build="",
        license="",
        size=size,
        layer=layer,
    )


def _place(files: set[str], contents: Mapping[str, list[tuple[int, int]]]) -> tuple[int, int]:
    """Return the bytes of the files, and the layer that has most of them."""
    sizes: dict[int, int] = {}
    for file in files:
        for layer, size in contents.get(file, ()):
            sizes[layer] = sizes.get(layer, 0) + size
    if not sizes:
        return 0, -1
    return sum(sizes.values()), max(sizes, key=lambda layer: (sizes[layer], -layer))
