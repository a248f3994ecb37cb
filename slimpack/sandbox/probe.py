"""An image of one program that needs nothing, to see whether a sandbox works here."""

from __future__ import annotations

import platform as host
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slimpack.errors import DaemonError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.platforms import here
from slimpack.tree import bytes_entry, directory_entry

CODE = 42
# Platform -> its number in ELF (e_machine), and exit(CODE) in its code.
_MACHINES = {
    "linux/amd64": (62, bytes.fromhex("bf2a000000 b83c000000 0f05")),
    "linux/arm64": (183, bytes.fromhex("400580d2 a80b80d2 010000d4")),
}
_ADDRESS = 0x400000
_HEADERS = 64 + 56


@contextmanager
def probe(platform: str = "") -> Iterator[tuple[Path, Image]]:
    """Give a root file system and its image whose ``/probe`` ends with `CODE`.

    platform: that the program is for, "" for this machine's.
    Raises DaemonError on processors that are not known.
    """
    platform = platform or here()
    if platform not in _MACHINES:
        raise DaemonError(f"sandboxes are not tried out on {host.machine()}")
    number, code = _MACHINES[platform]
    program = program_of(number, code)
    with tempfile.TemporaryDirectory(prefix="slimpack-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # another user has to reach the program
        root = folder / "root"
        root.mkdir(mode=0o755)
        (root / "probe").write_bytes(program)
        (root / "probe").chmod(0o755)
        entries = [directory_entry("tmp", mode=0o1777), bytes_entry("probe", program, mode=0o755)]
        layer = build_layer(
            "probe",
            entries,
            blobs=BlobStore(folder / "blobs", durable=False),
            mtime=0,
            compression=Compression("none", 0, 1),
        )
        yield root, make_image([layer], ImageConfig(architecture=platform.rpartition("/")[2]))


def program_of(machine: int, code: bytes) -> bytes:
    """Return a static 64-bit little-endian ELF program (elf(5)) of one segment."""
    size = _HEADERS + len(code)
    entry = _ADDRESS + _HEADERS
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x10000)
    return ident + header + segment + code
