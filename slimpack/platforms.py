"""Platforms: what OCI calls ``linux/amd64`` is conda's subdir ``linux-64``."""

from __future__ import annotations

import platform as host
from collections.abc import Mapping
from types import MappingProxyType

from slimpack.errors import InputError

SUBDIRS: Mapping[str, str] = MappingProxyType(
    {"linux/amd64": "linux-64", "linux/arm64": "linux-aarch64"}
)
_MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
# What conda calls the processor family (archspec); no newer level is promised,
# because nobody knows where the image will run.
_ARCHSPEC = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# The oldest kernel that a container host is assumed to have, as conda-lock does.
_KERNEL = "5.10"


def here() -> str:
    """Return the platform of this machine, "" when no image runs on it."""
    return _MACHINES.get(host.machine(), "") if host.system() == "Linux" else ""


def resolve(text: str) -> str:
    """Return the OCI platform for ``linux/amd64`` or ``linux-64``, the host's for "".

    Raises InputError for any other.
    """
    if not text:
        if machine := here():
            return machine
        raise InputError(
            f"this machine ({host.system()} {host.machine()}) has no platform for images",
            hint="pass --platform linux/amd64 or linux/arm64",
        )
    for oci, subdir in SUBDIRS.items():
        if text in (oci, subdir):
            return oci
    raise InputError(f"unknown platform {text!r}", hint=f"use one of {', '.join(sorted(SUBDIRS))}")


def virtual_packages(platform: str, *, glibc: str, cuda: str = "") -> list[tuple[str, str, str]]:
    """Return (name, version, build) of what the image's base offers to the solver.

    platform: an OCI platform. glibc: version of the base's C library, "" for
    none. The host's own versions play no part: the image runs elsewhere.
    """
    packages = [
        ("__unix", "0", "0"),
        ("__linux", _KERNEL, "0"),
        ("__archspec", "1", _ARCHSPEC[platform]),
    ]
    if glibc:
        packages.append(("__glibc", glibc, "0"))
    if cuda:
        packages.append(("__cuda", cuda, "0"))
    return packages
