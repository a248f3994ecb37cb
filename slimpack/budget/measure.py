"""An image's sizes, by package: measured, or read from a report's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.image import Image
from slimpack.oci.jsontext import Object
from slimpack.report.data import Report, gather
from slimpack.report.parts import by_owner

MAX_REPORT = 256 << 20
"""Bytes of a report's JSON that are read."""


@dataclass(frozen=True)
class Usage:
    """What a package takes, or files of no package: then `name` is a folder such as ``/app``.

    origin: "conda", "pypi", "debian", "" for no package. version: "" for none; several are
    joined. bytes: unpacked. compressed: an estimate (`slimpack.report.parts`). layer: the
    number of the one that holds most of it.
    """

    name: str
    origin: str
    version: str
    files: int
    bytes: int
    compressed: int
    layer: int


@dataclass(frozen=True)
class Layer:
    """A layer's name and compressed bytes."""

    name: str
    compressed: int


@dataclass(frozen=True)
class Measured:
    """An image's sizes in bytes. label: what people call it."""

    label: str
    digest: str
    compressed: int
    unpacked: int
    files: int
    layers: tuple[Layer, ...]
    packages: tuple[Usage, ...]


def measure(image: Image, label: str) -> Measured:
    """Read the layers of `image`; raises what `slimpack.report.data.gather` does."""
    return _measured(gather(image, label))


def _measured(report: Report) -> Measured:
    known: dict[tuple[str, str], list[str]] = {}
    places: dict[tuple[str, str], int] = {}
    for row in report.packages:
        key = package_key(row.name, row.origin)
        known.setdefault(key, []).append(row.version)
        places.setdefault(key, row.layer)
    packages = []
    for total in by_owner(report.after):
        first = total.parts[0]
        key = package_key(first.owner, first.origin)
        packages.append(
            Usage(
                name=first.owner,
                origin=first.origin,
                version=", ".join(sorted({*known.get(key, ())} - {""})),
                files=total.files,
                bytes=total.bytes,
                compressed=total.compressed,
                layer=places.get(key, -1),
            )
        )
    return Measured(
        label=report.name,
        digest=report.digest,
        compressed=report.compressed,
        unpacked=report.unpacked,
        files=report.files,
        layers=tuple(Layer(layer.name, layer.compressed) for layer in report.layers),
        packages=tuple(packages),
    )


def is_report(path: Path) -> bool:
    """Tell whether a file can be the JSON of a report: no image begins as that does."""
    try:
        with path.open("rb") as stream:
            return stream.read(1) == b"{"
    except OSError:  # a folder, or nothing
        return False


def read_report(path: Path) -> Measured:
    """Read what ``slimpack report --json`` wrote to a file; InputError for anything else."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_REPORT + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_REPORT:
        raise InputError(f"{path} has more than {MAX_REPORT} bytes")
    return parse_report(data, str(path))


def parse_report(data: bytes, where: str) -> Measured:
    """Parse what ``slimpack report --json`` wrote; InputError for anything else."""
    try:
        top = jsontext.parse_object(data, where)
        layers = tuple(
            Layer(jsontext.text(item, "name", where), jsontext.number(item, "compressed", where))
            for item in jsontext.objects(top, "layers", where)
        )
        versions = {
            package_key(jsontext.text(row, "name", where), jsontext.text(row, "origin", where)): row
            for row in jsontext.objects(top, "packages", where)
        }
        return Measured(
            label=jsontext.text(top, "name", where) or where,
            digest=jsontext.text(top, "digest", where),
            compressed=jsontext.number(top, "compressed", where),
            unpacked=jsontext.number(top, "unpacked", where),
            files=jsontext.number(top, "files", where),
            layers=layers,
            packages=tuple(_usages(jsontext.objects(top, "after", where), versions, where)),
        )
    except ImageError as error:
        raise InputError(
            f"{where} is no report on an image: {error.message}",
            hint="write one with `slimpack report IMAGE --json`, or name an image",
        ) from error


def _usages(
    parts: Sequence[Object], rows: Mapping[tuple[str, str], Object], where: str
) -> Iterator[Usage]:
    sums: dict[tuple[str, str], list[int]] = {}
    names: dict[tuple[str, str], str] = {}
    for part in parts:
        name, origin = jsontext.text(part, "owner", where), jsontext.text(part, "origin", where)
        key = package_key(name, origin)
        names.setdefault(key, name)
        counts = sums.setdefault(key, [0, 0, 0])
        for place, field_name in enumerate(("files", "bytes", "compressed")):
            counts[place] += jsontext.number(part, field_name, where)
    for key, (files, size, compressed) in sums.items():
        row = rows.get(key, {})
        version = jsontext.text(row, "version", where)
        yield Usage(names[key], key[1], version, files, size, compressed, -1)


def package_key(name: str, origin: str) -> tuple[str, str]:
    """Return what a package is known by, however the names of pip's packages are spelt."""
    return (canonicalize_name(name) if origin == "pypi" else name), origin
