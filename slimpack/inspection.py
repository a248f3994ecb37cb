"""What is in an image, whoever made it: layers, packages, sizes, config."""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.parser import HeaderParser

from slimpack.oci.image import Image
from slimpack.oci.layer import Layer
from slimpack.oci.rootfs import Placed, merged_view, read_files
from slimpack.slim.bytecode import source_of

_CONDA = re.compile(r"(?P<prefix>.*?)/?conda-meta/[^/]+\.json\Z")
_DIST = re.compile(r"(?P<site>.*/)?[^/]+\.dist-info/METADATA\Z")
_DIST_FILES = (".dist-info/METADATA", ".dist-info/RECORD")
_DEBIAN = re.compile(r"var/lib/dpkg/status\.d/(?P<name>[^/]+)\Z")


@dataclass(frozen=True)
class LayerInfo:
    """A layer; sizes in bytes, files without directories.

    unpacked: bytes of the files that are visible in the image; hard links are files
        of no bytes, so that no content counts twice.
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

    kind: "conda", "pypi" or "debian". size: bytes of its files in the image, layer: the
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


@dataclass(frozen=True)
class Contents:
    """An inspection and what it rests on.

    view: see `merged_view`. owners: path -> index in ``inspection.packages``, for the
    files that a package lists and the bytecode made of them; where two packages list
    one file, the later in that order.
    records: content of the packages' records and of the files that were asked for.
    """

    inspection: Inspection
    view: Mapping[str, Placed]
    owners: Mapping[str, int]
    records: Mapping[str, bytes]


def inspect_image(image: Image) -> Inspection:
    """Read every layer of `image` once or twice and describe it.

    Raises ImageError for layers that are malformed or do not match their digests.
    """
    return examine(image).inspection


def examine(image: Image, also: Callable[[str], bool] = lambda path: False) -> Contents:
    """Do what `inspect_image` does and tell which file is whose; raises what it raises.

    also: which other files to read.
    """
    view = merged_view(image)
    records = read_files(image, lambda path: _is_record(path) or also(path), view=view)
    layers = tuple(_layer(number, layer, view) for number, layer in enumerate(image.layers))
    contents = _contents(view)
    conda = _conda_files(records)
    found = [
        _package(path, records)
        for path in sorted(records)
        if _is_record(path) and path not in conda
    ]
    packages = [pair for pair in found if pair]
    config: dict[str, object] = json.loads(image.config_json).get("config") or {}
    inspection = Inspection(
        digest=image.digest,
        image_id=image.config_digest,
        platform=str(image.platform),
        compressed=image.size,
        unpacked=sum(layer.unpacked for layer in layers),
        config=config,
        layers=layers,
        packages=tuple(_placed(package, files, contents) for package, files in packages),
    )
    listed = {path: number for number, (_, files) in enumerate(packages) for path in files}
    owners = {path: listed[key] for path in view for key in (_source(path), path) if key in listed}
    return Contents(inspection, view, owners, records)


def _is_record(path: str) -> bool:
    return bool(_CONDA.match(path) or _DEBIAN.match(path) or path.endswith(_DIST_FILES))


def _conda_files(records: Mapping[str, bytes]) -> set[str]:
    """Return the paths that conda packages own: the dist-info of theirs is no package again."""
    owned: set[str] = set()
    for path, data in records.items():
        if match := _CONDA.match(path):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                owned.update(posixpath.join(match["prefix"], file) for file in _files(data))
    return owned


def _files(record: bytes) -> list[str]:
    return [str(file) for file in json.loads(record)["files"]]


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


def _source(path: str) -> str:
    """Return the source of bytecode, in __pycache__ or (without its source) beside it."""
    return source_of(path) or (path[:-1] if path.endswith(".pyc") else path)


_Found = tuple[PackageInfo, set[str]]
"""A package, size and layer not yet known, and the paths of its files."""


def _package(path: str, records: Mapping[str, bytes]) -> _Found | None:
    """Describe the package of a record; None for a file that only looks like one."""
    conda = _CONDA.match(path)
    if conda is None:
        read = _pypi if path.endswith(_DIST_FILES) else _debian
        return read(path, records)
    try:
        record = json.loads(records[path])
        files = {path, *(posixpath.join(conda["prefix"], file) for file in _files(records[path]))}
        return PackageInfo(
            kind="conda",
            name=str(record["name"]),
            version=str(record["version"]),
            build=str(record.get("build", "")),
            license=str(record.get("license") or ""),
            size=0,
            layer=-1,
        ), files
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _pypi(path: str, records: Mapping[str, bytes]) -> _Found | None:
    """Describe what pip installed: core metadata, and the files that its RECORD lists."""
    match = _DIST.match(path)
    fields = HeaderParser().parsestr(records[path].decode("utf-8", "replace"))
    if match is None or "Name" not in fields or "Version" not in fields:
        return None
    record = records.get(f"{path.removesuffix('METADATA')}RECORD", b"").decode("utf-8", "replace")
    site = match["site"] or ""
    with suppress(csv.Error):
        rows = list(csv.reader(record.splitlines()))
        files = {posixpath.normpath(f"{site}{row[0]}") for row in rows if row}
        return PackageInfo(
            kind="pypi",
            name=str(fields["Name"]),
            version=str(fields["Version"]),
            build="",
            license=str(fields.get("License-Expression") or fields.get("License") or "")[:200],
            size=0,
            layer=-1,
        ), files
    return None


def _debian(path: str, records: Mapping[str, bytes]) -> _Found | None:
    """Describe a package of distroless' status.d, its files listed in NAME.md5sums beside it."""
    fields = HeaderParser().parsestr(records[path].decode("utf-8", "replace"))
    if "Package" not in fields or "Version" not in fields:
        return None
    sums = records.get(f"{path}.md5sums", b"").decode("utf-8", "replace").splitlines()
    return PackageInfo(
        kind="debian",
        name=str(fields["Package"]),
        version=str(fields["Version"]),
        build="",
        license="",
        size=0,
        layer=-1,
    ), {path, *(line[34:] for line in sums)}


def _placed(
    package: PackageInfo, files: set[str], contents: Mapping[str, list[tuple[int, int]]]
) -> PackageInfo:
    size, layer = _place(files, contents)
    return replace(package, size=size, layer=layer)


def _place(files: set[str], contents: Mapping[str, list[tuple[int, int]]]) -> tuple[int, int]:
    """Return the bytes of the files, and the layer that has most of them."""
    sizes: dict[int, int] = {}
    for file in files:
        for layer, size in contents.get(file, ()):
            sizes[layer] = sizes.get(layer, 0) + size
    if not sizes:
        return 0, -1
    return sum(sizes.values()), max(sizes, key=lambda layer: (sizes[layer], -layer))
