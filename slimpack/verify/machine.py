"""What the programs of a subject meet beside its files: this machine.

What was found by running something counts on the same machine only, with the same kernel,
processor, user, sandboxes, emulator, GPU and driver.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from slimpack.platforms import here

PROGRAMS = ("bwrap", "unshare", "podman", "docker")
"""Of sandboxes (`slimpack.sandbox.choose`, which takes a while to import)."""

# Lines of /proc/cpuinfo that say what a processor can do: proc(5), x86's and ARM's names.
_CPU = frozenset(
    (
        *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
        *("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part"),
    )
)
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")
_MAX_CPU = 1 << 14  # bytes; the first processor's lines are fewer


def machine_identity(platform: str) -> list[Any]:
    """Return data that is other data where programs of `platform` may behave otherwise."""
    host = os.uname()
    return [
        [here(), host.release, host.version, host.machine],
        list(_processor()),
        [os.geteuid(), sys.version],
        [shutil.which(name) or "" for name in PROGRAMS],
        _gpu(),
        [] if platform == here() else [platform, *_emulators(platform)],
    ]


def _processor() -> Iterator[str]:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
        for line in stream.read(_MAX_CPU).partition("\n\n")[0].splitlines():
            if line.partition(":")[0].strip() in _CPU:
                yield line


def _gpu() -> list[str]:
    if not Path("/dev/nvidiactl").exists():
        return []
    from slimpack.sandbox import find_gpu

    gpu = find_gpu()
    return [gpu.driver, *(name for _, name in gpu.devices)] if gpu else [""]


def _emulators(platform: str) -> Iterator[Any]:
    """Yield what runs programs of another platform: our choice of QEMU, and the kernel's."""
    from slimpack.sandbox.emulated import find_emulator

    if program := find_emulator(platform):
        status = program.stat()
        yield [str(program), status.st_size, status.st_mtime_ns]
    with suppress(OSError):
        for path in sorted(_EMULATORS.iterdir()):
            if path.name != "register":
                yield [path.name, path.read_text("utf-8", "replace")]
