"""SIF, Apptainer's file format: a header, a table of objects, and one of them a squashfs.

Format: version 1 as apptainer/sif and sylabs/sif write and read it (pkg/sif/sif.go,
pkg/sif/descriptor.go); numbers are little-endian. Apptainer's own builds hold the time and
a random id, so the same image never gives the same file twice; here both come from the image.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass

from slimpack.errors import InputError

_LAUNCH = b"#!/usr/bin/env run-singularity\n"
_HEADER = struct.Struct("<32s10s3s3s16sqqqqqqqq")
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_PARTITION = struct.Struct("<ii3s")
_DESCRIPTORS = 48  # places in the table, used or free
_TABLE = 4096  # where it begins
_DATA = _TABLE + _DESCRIPTORS * _DESCRIPTOR.size
_PAGE = 4096  # a file system begins on a page, to be mounted where it lies
_GROUP = 0xF000_0000 | 1  # all objects belong together, and can be signed so
_JSON, _FILE_SYSTEM = 0x4006, 0x4004
_SQUASHFS, _PRIMARY = 1, 2
_ARCHITECTURES = {
    "386": b"01",
    "amd64": b"02",
    "arm": b"03",
    "arm64": b"04",
    "ppc64": b"05",
    "ppc64le": b"06",
    "s390x": b"11",
    "riscv64": b"12",
}


@dataclass(frozen=True)
class Told:
    """What a SIF says of its file system.

    architecture: Go's name, a known one (`check_architecture`). identity: any text that is
    another for other content. created: seconds since the epoch. documents: JSON by name.
    """

    architecture: str
    identity: str
    created: int
    documents: tuple[tuple[str, bytes], ...] = ()

    @property
    def start(self) -> int:
        """Where the file system begins in the file."""
        end = _DATA + sum(len(data) for _, data in self.documents)
        return end + -end % _PAGE


def check_architecture(name: str) -> None:
    """Raise InputError for a processor that SIF has no number for."""
    if name not in _ARCHITECTURES:
        raise InputError(
            f"SIF has no name for the architecture {name}",
            hint="write --format squashfs, which Apptainer runs as well",
        )


def sif_front(told: Told, size: int) -> bytes:
    """Return all that comes before a file system of `size` bytes: exactly `Told.start` bytes."""
    descriptors, at = [], _DATA
    for number, (name, data) in enumerate(told.documents, 1):
        descriptors.append(_descriptor(told, _JSON, number, (at, len(data), len(data)), name))
        at += len(data)
    extra = _PARTITION.pack(_SQUASHFS, _PRIMARY, _ARCHITECTURES[told.architecture])
    place = told.start, size, size + told.start - at
    number = len(told.documents) + 1
    descriptors.append(_descriptor(told, _FILE_SYSTEM, number, place, "", extra))
    identity = hashlib.sha256(told.identity.encode()).digest()[:16]
    header = _HEADER.pack(
        _LAUNCH,
        b"SIF_MAGIC",
        b"01",
        _ARCHITECTURES[told.architecture],
        uuid.UUID(bytes=identity, version=4).bytes,
        told.created,
        told.created,
        _DESCRIPTORS - len(descriptors),
        _DESCRIPTORS,
        _TABLE,
        _DATA - _TABLE,
        _DATA,
        told.start + size - _DATA,
    )
    table = b"".join(descriptors).ljust(_DATA - _TABLE, b"\0")
    data = b"".join(data for _, data in told.documents)
    return (header.ljust(_TABLE, b"\0") + table + data).ljust(told.start, b"\0")


def _descriptor(
    told: Told, kind: int, number: int, place: tuple[int, int, int], name: str, extra: bytes = b""
) -> bytes:
    """place: offset, size, and size with the padding before it."""
    return _DESCRIPTOR.pack(
        *(kind, True, number, _GROUP, 0),
        *place,
        *(told.created, told.created, 0, 0),
        name.encode(),
        extra,
    )
