"""The head of a self-extracting archive: an sh program before a compressed tar.

The target needs sh, tar, gzip (or zstd) and what every system has; no Python.
Readers find the payload by a line in the first 4 KiB, with numbers of fixed
width so that the head can state its own length::

    # slimpack self-extracting archive
    # slimpack payload: offset=000000008123 size=000000123456789 compression=gzip sha256=...
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Protocol

from slimpack.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}\Z")
_TOOLS = {"gzip": "gzip", "zstd": "zstd", "none": "cat"}
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Payload(Protocol):
    """What follows the head: a tar of the environment, paths relative to it."""

    @property
    def size(self) -> int:
        """Bytes as they follow the head."""

    @property
    def sha256(self) -> str:
        """Hex digest of these bytes."""

    @property
    def compression(self) -> str:
        """``gzip``, ``zstd`` or ``none``."""

    @property
    def members(self) -> int:
        """How many files, links and folders are inside."""

    @property
    def unpacked(self) -> int:
        """Bytes of the files inside."""


def installer(name: str, version: str, payload: Payload, *, dest_prefix: str | None) -> bytes:
    """Return the head; the file is this and the payload's bytes, nothing between them.

    name: of the environment, and of the folder that it is unpacked to.
    dest_prefix: the only place for it, when its prefix was written while packing.

    The program checks size and SHA-256, unpacks beside the destination, runs
    the environment's own ``bin/conda-unpack`` and renames; whatever goes wrong
    leaves nothing behind. Its length does not depend on the payload's numbers and
    digest, so room can be left for it before they are known. Raises InputError for
    a name or prefix that it cannot hold.
    """
    if not _NAME.match(name):
        raise InputError(
            f"{name!r} cannot name a self-extracting archive",
            hint="use at most 100 letters, digits and _ . + -, not starting with . + or -",
        )
    if dest_prefix is not None and (not dest_prefix.startswith("/") or "\n" in dest_prefix):
        raise InputError(f"the prefix {dest_prefix!r} is not an absolute path on one line")
    if payload.compression not in _TOOLS or not _SHA256.match(payload.sha256):
        raise ValueError(f"not a payload: {payload.compression!r}, {payload.sha256!r}")
    length = len(_head(name, version, payload, dest_prefix, 0))
    return _head(name, version, payload, dest_prefix, length)


def _head(name: str, version: str, payload: Payload, dest_prefix: str | None, offset: int) -> bytes:
    fields = {
        "PAYLOAD": f"offset={offset:012d} size={payload.size:015d} "
        f"compression={payload.compression} sha256={payload.sha256}",
        "TOOL": _TOOLS[payload.compression],
        "NAME": _quoted(name),
        "VERSION": _quoted(version),
        "DEST": _quoted((dest_prefix or "").rstrip("/")),
        "COMPRESSION": payload.compression,
        "OFFSET": _fixed(offset),
        "SIZE": _fixed(payload.size),
        "SHA256": payload.sha256,
        "MEMBERS": _fixed(payload.members),
        "UNPACKED": _fixed(payload.unpacked),
    }
    text = files("slimpack.portable").joinpath("installer.sh").read_text("utf-8")
    return re.sub(r"@([A-Z0-9]+)@", lambda match: fields[match[1]], text).encode()


def _fixed(number: int) -> str:
    """Return a number of fixed width; sh takes leading zeros for octal, so spaces follow."""
    return f"{number} #".ljust(20)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
