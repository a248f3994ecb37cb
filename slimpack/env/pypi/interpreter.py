"""The Python of a prefix, as far as pip and wheels must know it.

Everything that decides which wheel fits comes from the conda records and from
the base, never from the machine that builds: PEP 425 tags, PEP 600 (manylinux)
and the glibc of the base.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import metadata
from pathlib import Path
from types import MappingProxyType

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from slimpack.env.locks.lock import Lock
from slimpack.env.meta import Installed
from slimpack.errors import InputError, InstallError

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
# PEP 600: the lowest manylinux of each architecture, and its names of before.
_ANY_GLIBC = (2, 99)
_LOWEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_OLD_NAMES: Mapping[int, str] = MappingProxyType({17: "2014", 12: "2010", 5: "1"})
_BUILD = re.compile(r"_cp(?P<version>3\d+)(?P<threads>t?)(?:_|\Z)")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_")
_PROBE = "import os; print(os.uname().machine)"
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Interpreter:
    """CPython in a prefix.

    python: its file. version: as conda records it. threads: "t" for a free-threaded one.
    subdir: conda's name of the platform. glibc: (major, minor) of the base.
    runs: this machine can run it, and it is new enough for our pip, so sources can be built.
    """

    prefix: Path
    version: str
    threads: str
    subdir: str
    glibc: tuple[int, int]
    runs: bool = False

    @property
    def python(self) -> Path:
        """Its file in the prefix."""
        return self.prefix / "bin" / "python"

    @property
    def release(self) -> tuple[int, int]:
        """(3, 11) for 3.11.2."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    @property
    def number(self) -> str:
        """``3.14.0`` for 3.14.0rc1: what pip takes for a version of Python."""
        match = re.match(r"\d+\.\d+(?:\.\d+)?", self.version)
        return match[0] if match else "{}.{}".format(*self.release)

    @property
    def abi(self) -> str:
        """``cp311``, ``cp313t``."""
        return "cp{}{}{}".format(*self.release, self.threads)

    @property
    def site(self) -> str:
        """Its site-packages, path below the prefix."""
        return "lib/python{}.{}{}/site-packages".format(*self.release, self.threads)

    @property
    def headers(self) -> str:
        """Its header files, path below the prefix."""
        return "include/python{}.{}{}".format(*self.release, self.threads)

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels that run on the base, best first."""
        machine = _MACHINES[self.subdir]
        names = []
        for minor in range(self.glibc[1], _LOWEST_GLIBC[machine] - 1, -1):
            names.append(f"manylinux_2_{minor}_{machine}")
            if minor in _OLD_NAMES:
                names.append(f"manylinux{_OLD_NAMES[minor]}_{machine}")
        return (*names, f"linux_{machine}")

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Every tag of a wheel that fits."""
        platforms = self.platforms
        return frozenset(
            [
                *cpython_tags(self.release, [self.abi], platforms),
                *compatible_tags(self.release, "cp{}{}".format(*self.release), platforms),
            ]
        )

    @property
    def markers(self) -> dict[str, str]:
        """Environment markers (PEP 508) of the target, for where its Python does not run."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.version,
            "os_name": "posix",
            "platform_machine": _MACHINES[self.subdir],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.version,
            "python_version": "{}.{}".format(*self.release),
            "sys_platform": "linux",
        }


def interpreter(prefix: Path, installed: Installed, *, subdir: str, glibc: str) -> Interpreter:
    """Return the Python of `prefix`; InputError when there is none that pip can serve."""
    package = installed.get("python")
    if package is None:
        raise InputError(
            "pip packages need Python, and this environment has none",
            hint="add python to the dependencies",
        )
    if subdir not in _MACHINES:
        raise InputError(f"pip packages for {subdir} are not supported")
    numbers = re.match(r"2\.(\d+)", glibc)
    if numbers is None:
        raise InputError(
            f"pip packages need a base with glibc 2.x, and this one has {glibc or 'none'}",
            hint="choose another runtime",
        )
    abi = installed.get("python_abi")
    match = _BUILD.search(package.build) or (_BUILD.search(abi.build) if abi else None)
    if match is None and "pypy" in f"{package.build}{abi.build if abi else ''}":
        raise InputError("pip packages are supported for CPython, and this environment has PyPy")
    found = Interpreter(
        prefix=prefix,
        version=package.version,
        threads=match["threads"] if match else "",
        subdir=subdir,
        glibc=(2, int(numbers[1])),
    )
    return replace(found, runs=_runs(found))


def locked_interpreter(lock: Lock) -> Interpreter:
    """Return the Python of a lock, which is not installed, for any base; InputError without one.

    Its glibc is newer than any, because what is locked is settled.
    """
    package = lock.get("python")
    if package is None or lock.platform not in _MACHINES:
        raise InputError(
            f"the lock for {lock.platform} has pip packages, and no Python that they are for",
            hint="lock the environment again, with python among the dependencies",
        )
    abi = lock.get("python_abi")
    match = _BUILD.search(package.build) or (_BUILD.search(abi.build) if abi else None)
    return Interpreter(
        prefix=Path("/nowhere"),
        version=package.version,
        threads=match["threads"] if match else "",
        subdir=lock.platform,
        glibc=_ANY_GLIBC,
    )


def _runs(target: Interpreter) -> bool:
    """Tell whether this machine runs the Python (emulated or not) and our pip runs in it."""
    required = SpecifierSet(metadata("pip")["Requires-Python"] or "")
    if not required.contains(target.version, prereleases=True):
        return False
    try:
        done = subprocess.run(
            [str(target.python), "-I", "-S", "-B", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.decode().strip() == _MACHINES[target.subdir]


def check_wheel(filename: str, target: Interpreter) -> None:
    """Raise InstallError, with the reason, for a wheel that does not run on the base."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise InstallError(f"{filename}: not the name of a wheel: {error}") from error
    if not target.tags.isdisjoint(tags):
        return
    raise InstallError(
        f"{name} {version}: the wheel {filename} {unfit(sorted(map(str, tags)), target)}",
        hint="choose another version, or a runtime that has what it needs",
    )


def unfit(tags: list[str], target: Interpreter) -> str:
    """Say why a wheel with these tags does not fit."""
    platform = f"{target.subdir} with Python {target.version}"
    newer = [int(match[1]) for tag in tags for match in _MANYLINUX.finditer(tag)]
    if any("musllinux" in tag for tag in tags):
        return "is for musl (Alpine), and the base has glibc"
    if newer and min(newer) > target.glibc[1]:
        return "needs glibc 2.{}, and the base has {}.{}".format(min(newer), *target.glibc)
    return f"is not for {platform}"
