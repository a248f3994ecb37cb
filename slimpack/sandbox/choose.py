"""Which sandbox works on this machine, found out by running something in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimpack.errors import DaemonError, InputError, SlimpackError
from slimpack.oci.image import Image
from slimpack.platforms import here
from slimpack.sandbox.bubblewrap import Bubblewrap
from slimpack.sandbox.docker import Docker
from slimpack.sandbox.emulated import Emulated, find_emulator
from slimpack.sandbox.host import Host
from slimpack.sandbox.model import Command, Sandbox
from slimpack.sandbox.podman import ENGINES, Podman
from slimpack.sandbox.probe import CODE, probe
from slimpack.sandbox.unshare import Unshare

PROGRAMS = {"bubblewrap": "bwrap", "unshare": "unshare", "podman": "podman", "docker": "docker"}
NAMES = (*PROGRAMS, "host")
_SECONDS = 60.0
_USER = "65532:65532"
_HINT = (
    "install bubblewrap (apt-get install bubblewrap) or podman, start Docker, or allow user "
    "namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0)"
)
_NONE = "no sandbox works on this machine"
_EMULATOR = "install QEMU's user mode emulation (apt-get install qemu-user-static)"


def choose_sandbox(wanted: str = "auto", platform: str = "") -> Sandbox:
    """Return the sandbox `wanted`, or for ``auto`` the first that works on this machine.

    platform: of the programs that are to be run, such as ``linux/arm64``; "" for this
    machine's. For another one the kernel has to know an emulator, or QEMU's has to be on
    PATH (see `slimpack.sandbox.emulated`).

    In order: bubblewrap, unshare, podman, docker; for root unshare first, because only
    there it is the one that can take on any user in any folder. Each is tried out with
    a program of 132 bytes, as the user 65532. ``host`` is given when it is asked for.
    Raises InputError for an unknown name, DaemonError, with every reason, when
    nothing works.
    """
    if wanted == "host":
        return Host()
    if wanted != "auto" and wanted not in PROGRAMS:
        raise InputError(
            f"there is no sandbox {wanted!r}", hint=f"choose one of auto, {', '.join(NAMES)}"
        )
    names = _order() if wanted == "auto" else (wanted,)
    candidates = _candidates(names)
    foreign = platform not in ("", here())
    if emulator := find_emulator(platform) if foreign else None:
        for sandboxes in candidates.values():
            sandboxes += [Emulated(sandbox, emulator) for sandbox in sandboxes]
    return _first(candidates, names, platform if foreign else "")


def _order() -> tuple[str, ...]:
    first = ("bubblewrap", "unshare") if os.geteuid() else ("unshare", "bubblewrap")
    return (*first, "podman", "docker")


def _candidates(names: Sequence[str]) -> dict[str, list[Sandbox]]:
    known: Mapping[str, list[Sandbox]] = {
        "bubblewrap": [Bubblewrap()],
        "unshare": [Unshare()],
        "podman": [Podman(engine) for engine in ENGINES],
        "docker": [Docker()],
    }
    return {name: known[name] for name in names}


def _first(
    candidates: Mapping[str, Sequence[Sandbox]], names: Sequence[str], foreign: str = ""
) -> Sandbox:
    reasons = []
    with probe(foreign) as (root, image):
        for name, sandboxes in candidates.items():
            if shutil.which(PROGRAMS[name]) is None:
                reasons.append(f"{name}: {PROGRAMS[name]} is not on PATH")
                continue
            for sandbox in sandboxes:
                reason = _problem(sandbox, root, image)
                if not reason:
                    return sandbox
            reasons.append(f"{name}: {reason}")
    what = f"no sandbox on this machine runs programs of {foreign}" if foreign else _NONE
    raise DaemonError(
        f"{what} (tried: {', '.join(names)})",
        details="\n".join(reasons),
        hint=_EMULATOR if foreign and find_emulator(foreign) is None else _HINT,
    )


def _problem(sandbox: Sandbox, root: Path, image: Image) -> str:
    """Return why a sandbox does not work, "" if it does."""
    command = Command(("/probe",), user=_USER, timeout=_SECONDS)
    try:
        with sandbox.prepare(root, image) as prepared:
            finished = prepared.run(command)
    except SlimpackError as error:
        return error.message
    if finished.timed_out:
        return f"a program of nothing was not over after {_SECONDS:.0f} s"
    if finished.returncode != CODE:
        last = finished.stderr.decode(errors="replace").strip()[-500:]
        return f"a program that returns {CODE} returned {finished.returncode}: {last}"
    return ""
