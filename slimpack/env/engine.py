"""Which program solves and installs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from slimpack.env.engines import ENGINES
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock
from slimpack.env.micromamba.engine import MINIMUM_VERSION, MicromambaEngine
from slimpack.env.nearby import check_folders
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError
from slimpack.progress import SILENT, Progress


class Engine(Protocol):
    """Turns a specification into a lock, and a lock into a prefix."""

    name: ClassVar[str]

    def solve(
        self,
        spec: EnvSpec,
        subdir: str,
        virtual_packages: Sequence[tuple[str, str, str]],
        *,
        strict_priority: bool = True,
        held: Sequence[tuple[str, str]] = (),
    ) -> Lock:
        """Find the packages for `spec`; see `RattlerEngine.solve`."""

    def install(self, lock: Lock, prefix: Path, *, progress: Progress = SILENT) -> None:
        """Install exactly the lock into an empty prefix; see `RattlerEngine.install`."""


def choose_engine(
    name: str, packages: Path, repodata: Path, nearby: tuple[Path, ...] = ()
) -> Engine:
    """Return the engine of that name; "auto" is micromamba when PATH has a usable one.

    packages, repodata: slimpack's caches. micromamba's packages lie in a folder
    of their own below `packages`. nearby: folders whose packages are taken first.

    Too old a micromamba is passed over by "auto" and is an InputError when it
    was asked for. One that does not run at all is an InputError for both: that
    is a broken machine and nothing to be silent about. So is an unknown name.
    """
    if name not in ENGINES:
        raise InputError(f"unknown engine {name!r}", hint=f"use one of {', '.join(ENGINES)}")
    check_folders(nearby)
    embedded = RattlerEngine(packages, repodata, nearby)
    if name == "rattler":
        return embedded
    program = shutil.which("micromamba")
    if program is None:
        if name == "auto":
            return embedded
        raise InputError(
            "there is no micromamba on PATH",
            hint="install it, or use --engine rattler, which needs nothing",
        )
    engine = MicromambaEngine(Path(program).absolute(), packages / "micromamba", repodata, nearby)
    version = engine.version()
    if version >= MINIMUM_VERSION:
        return engine
    if name == "auto":
        return embedded
    found, needed = (".".join(map(str, numbers)) for numbers in (version, MINIMUM_VERSION))
    raise InputError(
        f"{program} is micromamba {found}; {needed} or later is needed",
        hint="update it (micromamba self-update), or use --engine rattler",
    )
