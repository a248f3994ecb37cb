"""The GPU of this machine, shown in a sandbox as NVIDIA's container toolkit shows it.

The devices, and what ``NVIDIA_DRIVER_CAPABILITIES=compute,utility`` stands for: libraries of
the driver in the folder where the image's loader looks, and nvidia-smi. Which libraries
these are, and which folder, is libnvidia-container's choice (nvc_info.c, nvc_container.c).
Engines are asked for the GPU in their own way instead, and ask the toolkit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from slimpack.sandbox import inside
from slimpack.tree import parents

_DEVICE = re.compile(r"nvidia(?:\d+|ctl|-uvm|-uvm-tools|-modeset)\Z")
_ONE = re.compile(r"nvidia\d+\Z")
_CAPABILITIES = "nvidia-caps"  # of MIG, a folder
_LIBRARY = re.compile(
    r"lib(?:cuda|cudadebugger|nvidia-(?:ml|cfg|nscq|opencl|gpucomp|ptxjitcompiler|allocator"
    r"|fatbinaryloader|compiler|pkcs11|pkcs11-openssl3|nvvm|tileiras))\.so(?:\.(?P<number>[\d.]+))?\Z"
)
_DRIVER = "libcuda.so.1"
# Where drivers are when no cache of the loader tells: device plugins', Debian's, all others'.
_FOLDERS = (
    *("/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"),
    *("/usr/lib64", "/usr/local/nvidia/lib", "/run/opengl-driver/lib"),
)
_MULTIARCH = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")
_SMI = "nvidia-smi"


@dataclass(frozen=True)
class Gpu:
    """What this machine has. Paths are pairs: on this machine, and in the sandbox.

    devices: in the sandbox below /dev. libraries: in the sandbox the bare name.
    programs: in the sandbox the bare name. driver: its version, "" when no file tells.
    """

    devices: tuple[tuple[str, str], ...]
    libraries: tuple[tuple[str, str], ...]
    programs: tuple[tuple[str, str], ...] = ()
    driver: str = ""


def find_gpu(dev: Path = Path("/dev"), folders: Sequence[str] | None = None) -> Gpu | None:
    """Return the GPU of this machine; None where a device or the driver's libcuda is missing.

    folders: where the driver may be, the first with one counts; None for what the
    loader's cache of this machine says, and then the usual ones.
    """
    devices = tuple(_devices(dev))
    names = [name for _, name in devices]
    if "nvidiactl" not in names or not any(_ONE.match(name) for name in names):
        return None
    for folder in (*_cached(), *_FOLDERS) if folders is None else folders:
        if Path(folder, _DRIVER).exists():
            libraries = tuple(_libraries(Path(folder)))
            program = shutil.which(_SMI)
            return Gpu(
                devices=devices,
                libraries=libraries,
                programs=((program, _SMI),) if program else (),
                driver=_version(libraries),
            )
    return None


@contextmanager
def bound(root: Path, gpu: Gpu) -> Iterator[list[tuple[str, str]]]:
    """Give the files to bind, (host, path in the root); their mount points are made for as long.

    root: of one command at a time: a name that leads nowhere is no harm afterwards, while
    an empty libcuda.so.1 would be found by the next command.
    """
    folder = library_folder(root)
    binds = [(host, f"{folder}/{name}") for host, name in gpu.libraries]
    binds += [(host, f"usr/bin/{name}") for host, name in gpu.programs]
    made: list[Path] = []
    try:
        for _, path in binds:
            made += _missing(root, inside.resolve(root, path))
            inside.ensure(root, path, "file")
        yield binds
    finally:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir() if place.is_dir() else place.unlink()


def _missing(root: Path, path: str) -> list[Path]:
    """Return what has to be made for `path`, a path without links, outermost first."""
    places = [root / above for above in (*parents(path), path)]
    return [place for place in places if not os.path.lexists(place)]


def library_folder(root: Path) -> str:
    """Return where the driver's libraries go, relative to the root.

    Debian and its relatives search a folder of their own, which is there in every
    image of theirs; all others search /usr/lib64.
    """
    if (root / inside.resolve(root, "etc/debian_version")).exists():
        for folder in _MULTIARCH:
            if (root / inside.resolve(root, folder)).is_dir():
                return folder
    return "usr/lib64"


def _devices(dev: Path) -> Iterator[tuple[str, str]]:
    if not dev.is_dir():
        return
    for place in sorted(dev.iterdir()):
        if _DEVICE.match(place.name):
            yield str(place), place.name
    capabilities = dev / _CAPABILITIES
    if capabilities.is_dir():
        for place in sorted(capabilities.iterdir()):
            yield str(place), f"{_CAPABILITIES}/{place.name}"


def _libraries(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the libraries of one driver: others of another version may lie beside them."""
    version = _number((folder / _DRIVER).resolve().name)
    for place in sorted(folder.iterdir()):
        if not _LIBRARY.match(place.name) or not place.exists():
            continue
        own = _number(place.resolve().name)
        # A file that was bound under its short name tells no version.
        if not version or "." not in own or own == version:
            yield str(place.resolve()), place.name


def _number(name: str) -> str:
    match = _LIBRARY.match(name)
    number = match["number"] or "" if match else ""
    return number if "." in number else ""


def _version(libraries: Sequence[tuple[str, str]]) -> str:
    for host, _ in libraries:
        if number := _number(Path(host).name):
            return number
    with suppress(OSError):
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d+\.[\d.]+)", told):
            return match[1]
    return ""


def _cached() -> list[str]:
    """Return the folders in which the loader of this machine finds the driver."""
    program = shutil.which("ldconfig", path=f"{os.environ.get('PATH', os.defpath)}:/sbin:/usr/sbin")
    if program is None:
        return []
    done = subprocess.run([program, "-p"], capture_output=True, text=True, check=False)
    lines = (line.rpartition(" => ") for line in done.stdout.splitlines())
    return [
        str(Path(path).parent)
        for name, _, path in lines
        if name.split()[:1] == [_DRIVER] and "x32" not in name and "i386" not in path
    ]
