"""What results must tell of the computer and of the programs that were compared."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

_OURS = ("slimpack", "conda-pack", "py-rattler", "zstandard")
# Program -> how it is asked, and which word of its first line is the version.
_PROGRAMS = {
    "docker": (("docker", "version", "--format", "{{.Server.Version}}"), -1),
    "podman": (("podman", "--version"), -1),
    "containerd": (("containerd", "--version"), 2),
    "tar": (("tar", "--version"), -1),
    "zstd": (("zstd", "--version"), 4),
}


def machine() -> dict[str, str]:
    """Describe the computer."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in information if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": f"{os.cpu_count()} cores",
        "memory": f"{memory / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(*programs: str) -> dict[str, str]:
    """Return the versions of slimpack, its libraries, and of `programs` that are here."""
    asked = {name: _PROGRAMS[name] for name in programs if shutil.which(_PROGRAMS[name][0][0])}
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in _OURS},
        **{name: _word(command, place) for name, (command, place) in asked.items()},
    }


def _word(command: tuple[str, ...], place: int) -> str:
    """Return one word of a program's first line; "unknown" when it gives none."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    words = done.stdout.partition("\n")[0].split()
    return words[place].strip("v,*") if len(words) >= abs(place) and words else "unknown"
