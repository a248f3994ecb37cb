"""A Python of this machine that writes bytecode for an environment of another platform.

Bytecode is the same on every platform; it depends on the version of CPython alone. So the
same version is installed for this machine from the channels that the environment came
from, in a scratch folder: then the result does not depend on what else this machine has.
Where that cannot be had, a Python of the same minor version serves, whose bytecode is valid
(``importlib.util.MAGIC_NUMBER`` does not change within one) but need not be equal.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache import Cache
from slimpack.config import EnvConfig
from slimpack.env.engine import choose_engine
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.meta import Installed, InstalledPackage
from slimpack.env.redact import redacted
from slimpack.errors import InputError, SlimpackError
from slimpack.platforms import SUBDIRS, here, virtual_packages
from slimpack.progress import Progress
from slimpack.slim.bytecode import identify, interpreter_tag, on_path

_FOLDER = "host-python"


@dataclass(frozen=True)
class HostPython:
    """An interpreter for this machine, None when there is none. note: what to know of that."""

    program: Path | None
    note: str = ""


def is_foreign(installed: Installed) -> bool:
    """Tell whether the Python of an environment is for another platform than this machine."""
    python = installed.get("python")
    return python is not None and python.subdir not in ("", "noarch", SUBDIRS.get(here(), ""))


def host_python(
    installed: Installed, config: EnvConfig, *, cache: Cache, scratch: Path, progress: Progress
) -> HostPython:
    """Return what writes bytecode for the Python of `installed`, which is a foreign one.

    scratch: on the file system of the package cache; an environment is made in it.
    Never raises for a Python that cannot be had: the note says why.
    """
    python = installed.get("python")
    assert python is not None
    try:
        return HostPython(_installed(python, installed, config, cache, scratch, progress))
    except SlimpackError as error:
        return found_here(python, on_path(python.version), redacted(error.message))


def found_here(python: InstalledPackage, candidates: Sequence[Path], why: str) -> HostPython:
    """Return the first interpreter of `candidates` that will do, the same version before others.

    why: the same version could not be installed.
    """
    wanted = interpreter_tag(python.version)
    known = {program: identify(program) for program in candidates}
    fitting = [program for program, (tag, _) in known.items() if tag == wanted]
    same = [program for program in fitting if known[program][1] == python.version]
    if not fitting:
        minor = ".".join(python.version.split(".")[:2])
        return HostPython(
            None,
            f"there is no bytecode in it, and Python compiles at every start: {why}, and this "
            f"machine has no Python {minor} either (install one, and build again)",
        )
    program = (same or fitting)[0]
    version = known[program][1]
    what = f"{program}" if same else f"Python {version} of this machine, not by {python.version}"
    return HostPython(
        program,
        f"its bytecode was written by {what} ({why}): another machine may write other bytes",
    )


def _installed(
    python: InstalledPackage,
    installed: Installed,
    config: EnvConfig,
    cache: Cache,
    scratch: Path,
    progress: Progress,
) -> Path:
    """Install the same Python for this machine; raise SlimpackError where that fails."""
    machine, channels = here(), config.channels or _channels(python, installed)
    if not channels:
        raise InputError("nothing tells from which channel it came; --channel does")
    engine = choose_engine(config.engine, cache.packages, cache.repodata, config.packages_from)
    spec = EnvSpec(
        name=_FOLDER,
        channels=channels,
        specs=(python_spec(python),),
        source=f"Python {python.version} for this machine",
    )
    glibc = platform.libc_ver()[1]
    subdir = SUBDIRS.get(machine, "")
    packages = virtual_packages(machine, glibc=glibc) if subdir else []
    with progress.task(f"Python {python.version} for this machine", unit="step"):
        lock = engine.solve(spec, subdir, packages, strict_priority=False)
        prefix = scratch / _FOLDER
        engine.install(lock, prefix, progress=progress)
    return prefix / "bin" / "python"


def python_spec(python: InstalledPackage) -> str:
    """Return a match spec for the same interpreter, in builds of its kind (``*_cpython``)."""
    flavour = python.build.rpartition("_")[2]
    return f"python =={python.version}" + (f" *_{flavour}" if not flavour.isdigit() else "")


def _channels(python: InstalledPackage, installed: Installed) -> tuple[str, ...]:
    """Return where the environment came from, that of its Python first."""
    found = []
    for package in (python, *installed.packages):
        channel, _, rest = package.url.rpartition(f"/{package.subdir}/")
        # The record of an image or an archive says no more of a local channel than file:///.
        if channel.strip("/") != "file:" and channel and "/" not in rest:
            found.append(channel)
    return tuple(dict.fromkeys(found))
