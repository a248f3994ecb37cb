"""Telling archives apart by their first bytes."""

from __future__ import annotations

import tarfile
import zipfile
from enum import Enum
from pathlib import Path

from slimpack.errors import InputError

HEAD_BYTES = 4096
SELF_EXTRACTING_LINE = b"# slimpack self-extracting archive"
# A conda package in the old format tells what it is among its first members or not at all.
_MAX_MEMBERS = 20_000
_MAX_LEADING = 1_000
_MAX_UNPACKED = 512 * 1024 * 1024


class ArchiveFormat(Enum):
    """What an archive is made of."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_ZST = "tar.zst"
    TAR_BZ2 = "tar.bz2"
    ZIP = "zip"
    SQUASHFS = "squashfs"
    SCRIPT = "self-extracting script"
    CONDA_PACKAGE = "conda package"


def archive_format(path: Path) -> ArchiveFormat | None:
    """Return the format of an archive, None for a file that is none.

    Magic numbers: RFC 1952 (gzip), RFC 8878 (zstd), APPNOTE 4.3.7 (zip), POSIX
    ustar (byte 257), squashfs's little-endian ``hsqs``. Raises InputError when
    the file cannot be read.
    """
    head = _head(path)
    if head.startswith(b"\x1f\x8b"):
        return ArchiveFormat.TAR_GZ
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return ArchiveFormat.TAR_ZST
    if head.startswith(b"hsqs"):
        return ArchiveFormat.SQUASHFS
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ArchiveFormat.CONDA_PACKAGE if _is_conda(path) else ArchiveFormat.ZIP
    if head.startswith(b"BZh"):
        return ArchiveFormat.CONDA_PACKAGE if _is_old_conda(path) else ArchiveFormat.TAR_BZ2
    if head[257:262] == b"ustar":
        return ArchiveFormat.TAR
    if head.startswith(b"#!") and SELF_EXTRACTING_LINE in head.split(b"\n"):
        return ArchiveFormat.SCRIPT
    return None


def is_image(path: Path) -> bool:
    """Tell whether a plain tar holds a container image (OCI layout or docker-archive)."""
    try:
        with tarfile.open(path, "r:") as archive:
            for number, member in enumerate(archive):
                if member.name in ("oci-layout", "manifest.json"):
                    return True
                if number > _MAX_LEADING:
                    return False
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return False
    return False


def _head(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: not a regular file")
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {reason}", hint="check the path of the specification") from error


def _is_conda(path: Path) -> bool:
    """Tell a ``.conda`` package (a zip of metadata.json and two tars) from other zip files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # whoever unpacks it says what is wrong
    return "metadata.json" in names and any(name.startswith("pkg-") for name in names)


def _is_old_conda(path: Path) -> bool:
    """Tell a ``.tar.bz2`` package (it has info/index.json) from a packed environment."""
    unpacked = 0
    try:
        with tarfile.open(path, "r|bz2") as archive:
            for number, member in enumerate(archive):
                name = member.name.removeprefix("./")
                if name == "info/index.json":
                    return True
                unpacked += member.size
                packed = name.startswith("conda-meta/") or name == "bin/conda-unpack"
                if packed or number > _MAX_MEMBERS or unpacked > _MAX_UNPACKED:
                    return False
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return False
    return False
