"""What libraries an ELF file needs, and setting where it looks for them (with patchelf).

Format: the System V ABI, chapters 4 and 5; only 64-bit little-endian files, as on x86-64 and
aarch64.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.errors import ChannelError

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 14, 15, 29

# The parts of glibc: always from the base image, never from the environment.
GLIBC_SONAMES = frozenset(
    {
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libm.so.6",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libutil.so.1",
    }
)

# NVIDIA's driver: always from the host, which mounts it into a container.
DRIVER_SONAMES = frozenset({"libcuda.so.1", "libnvidia-ml.so.1", "libnvcuvid.so.1"})


@dataclass(frozen=True)
class Dynamic:
    """The dynamic section of an ELF file."""

    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str = ""

    @property
    def foreign(self) -> frozenset[str]:
        """The needed libraries that glibc does not bring."""
        return frozenset(self.needed) - GLIBC_SONAMES


def is_elf(path: Path) -> bool:
    """Whether a file, not a link to one, is in ELF format."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def read_dynamic(path: Path) -> Dynamic:
    """Parse the dynamic section; a static file or an object file has none."""
    data = path.read_bytes()
    if len(data) < 64 or data[4:6] != b"\x02\x01":
        return Dynamic()
    offset, size, count = (
        *struct.unpack_from("<Q", data, 32),
        *struct.unpack_from("<HH", data, 54),
    )
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + i * size) for i in range(count)]
    loads = [(h[3], h[2], h[5]) for h in headers if h[0] == _PT_LOAD]
    entries: list[tuple[int, int]] = []
    for header in headers:
        if header[0] == _PT_DYNAMIC:
            chunk = data[header[2] : header[2] + header[5]]
            entries = list(struct.iter_unpack("<qQ", chunk[: len(chunk) // 16 * 16]))
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
    base = next((at + strings - v for v, at, n in loads if v <= strings < v + n), 0)

    def text(position: int) -> str:
        return data[base + position : data.index(b"\0", base + position)].decode()

    found: dict[int, list[str]] = {}
    for tag, value in entries:
        if tag in {_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH}:
            found.setdefault(tag, []).append(text(value))
    return Dynamic(
        needed=tuple(found.get(_DT_NEEDED, ())),
        soname="".join(found.get(_DT_SONAME, ())),
        rpath=":".join([*found.get(_DT_RPATH, ()), *found.get(_DT_RUNPATH, ())]),
    )


def elf_files(root: Path) -> Iterator[Path]:
    """Every ELF file below ``root``, sorted."""
    for path in sorted(root.rglob("*")):
        if is_elf(path):
            yield path


def foreign_sonames(root: Path) -> frozenset[str]:
    """Libraries that the files below ``root`` need and that are neither glibc's nor among them."""
    needed: set[str] = set()
    for path in elf_files(root):
        needed |= read_dynamic(path).foreign
    own = {path.name for path in root.rglob("*.so*")}
    return frozenset(needed - own)


def set_rpaths(root: Path, patchelf: Path) -> None:
    """Let every file with needs look into the prefix's ``lib``, relative to itself.

    DT_RPATH and not DT_RUNPATH, as conda-build does: only the former also counts for what a
    library, opened later by this program, needs in its turn. What a file has is kept, before it,
    but for folders of other wheels: here they are packages, which lie elsewhere.
    """
    for path in elf_files(root):
        dynamic = read_dynamic(path)
        # Libraries that auditwheel bundled were rewritten once and are left as they are; they are
        # found, and find others, through the modules that load them.
        if path.parent.name.endswith(".libs"):
            continue
        # Programs get it in any case, as conda-forge's compilers see to: glibc itself opens
        # libgcc_s (when a thread ends early), and only the program's DT_RPATH tells it where.
        if not dynamic.foreign and path.parent != root / "bin":
            continue
        relative = os.path.relpath(root / "lib", path.parent)
        own = "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"
        kept = [entry for entry in dynamic.rpath.split(":") if leads_somewhere(entry, path)]
        rpath = ":".join([*kept, own])
        set_rpath(path, rpath, patchelf)


def leads_somewhere(entry: str, path: Path) -> bool:
    """Whether one folder of a search path is there, as far as the package alone can tell."""
    start, mark, rest = entry.partition("$ORIGIN")
    if start or not mark:
        return bool(entry)
    return Path(f"{path.parent}{rest}").is_dir()


def set_rpath(path: Path, rpath: str, patchelf: Path) -> None:
    """Set the DT_RPATH of a file."""
    command = [str(patchelf), "--force-rpath", "--set-rpath", rpath, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ChannelError(f"patchelf failed on {path.name}: {done.stderr.strip()}")
