"""An image of one program that needs nothing, to see whether a sandbox works here."""

from __future__ import annotations

import platform
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
from slimpack.tree import bytes_entry, directory_entry

CODE = 42
# Machine -> its number in ELF (e_machine), its name in images, and exit(CODE) in its code.
_MACHINES = {
    "x86_64": (62, "amd64", bytes.fromhex("bf2a000000 b83c000000 0f05")),
    "aarch64": (183, "arm64", bytes.fromhex("400580d2 a80b80d2 010000d4")),
}
_ADDRESS = 0x400000
_HEADERS = 64 + 56


@contextmanager
def probe() -> Iterator[tuple[Path, Image]]:
    """Give a root file system and its image whose ``/probe`` ends with `CODE`.

    Raises DaemonError on processors that are not known.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise DaemonError(f"sandboxes are not tried out on {platform.machine()}")
    number, architecture, code = machine
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
        yield root, make_image([layer], ImageConfig(architecture=architecture))


def program_of(machine: int, code: bytes) -> bytes:
    """Return a static 64-bit little-endian ELF program (elf(5)) of one segment."""
    size = _HEADERS + len(code)
    entry = _ADDRESS + _HEADERS
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x10000)
    return ident + header + segment + code
