"""Translate names, versions and requirements of PyPI and Debian into conda's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version


def debian_to_conda_version(version: str) -> str:
    """Return the upstream part of a Debian version: ``1:1.2.13.dfsg-1`` is ``1.2.13``.

    Format: Debian Policy 5.6.12, ``[epoch:]upstream[-revision]``.
    """
    upstream = re.sub(r"^\d+:", "", version)
    upstream = re.sub(r"-[^-]+$", "", upstream)
    upstream = re.sub(r"[.+~](dfsg|ds|git|really|deb\d+u).*$", "", upstream)
    return upstream.replace("~", "")


def conda_name(pypi_name: str, known: Mapping[str, str]) -> str:
    """Return the conda name of a project on PyPI; ``known`` holds those that differ."""
    name = canonicalize_name(pypi_name)
    return known.get(name, name)


def conda_version_spec(specifiers: SpecifierSet) -> str:
    """Return a PEP 440 specifier set as a conda match spec, ``""`` when everything fits."""
    return ",".join(sorted(part for s in specifiers for part in _clauses(s)))


def _clauses(specifier: Specifier) -> Iterable[str]:
    operator, version = specifier.operator, specifier.version
    if operator == "~=":
        # "~=1.4.2" is ">=1.4.2, ==1.4.*" (PEP 440).
        yield f">={version}"
        yield ".".join(str(part) for part in Version(version).release[:-1]) + ".*"
    elif operator in {"==", "==="} and version.endswith(".*"):
        yield version
    elif operator == "!=" and version.endswith(".*"):
        yield f"!={version}"
    else:
        yield f"{'==' if operator == '===' else operator}{version}"


def conda_dependencies(
    requires: Iterable[str],
    known: Mapping[str, str],
    environment: Mapping[str, str],
    extras: Iterable[str] = (),
) -> list[str]:
    """``Requires-Dist`` lines as sorted conda match specs.

    Markers are evaluated for ``environment``, the interpreter that the package is for; a line
    that needs an extra counts only if that extra is asked for.
    """
    wanted: set[str] = set()
    for line in requires:
        requirement = Requirement(line)
        contexts = [{**environment, "extra": extra} for extra in ("", *extras)]
        if requirement.marker and not any(requirement.marker.evaluate(c) for c in contexts):
            continue
        spec = conda_version_spec(requirement.specifier)
        wanted.add(f"{conda_name(requirement.name, known)} {spec}".strip())
    return sorted(wanted)


def leave_out(requires: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return requirements whose project matches none of some patterns, such as ``nvidia-*``."""
    patterns = tuple(patterns)
    return [
        line
        for line in requires
        if not any(fnmatchcase(canonicalize_name(Requirement(line).name), p) for p in patterns)
    ]


def marker_environment(python: str, machine: str) -> dict[str, str]:
    """Return the PEP 508 environment of CPython ``python`` ("3.11") on Linux."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def glibc_floor(platform_tag: str) -> str:
    """Return the oldest glibc that a platform tag allows: ``manylinux_2_17_x86_64`` is 2.17.

    A compressed tag set (``manylinux_2_27_x86_64.manylinux_2_28_x86_64``) names the same file for
    several floors; the lowest counts. Legacy names: PEP 513, 571 and 599.
    """
    legacy = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    floors = [(int(a), int(b)) for a, b in re.findall(r"manylinux_(\d+)_(\d+)_", platform_tag)]
    floors += [floor for name, floor in legacy.items() if f"{name}_" in platform_tag]
    major, minor = min(floors, default=(2, 17))
    return f"{major}.{minor}"


def next_minor(python: str) -> str:
    """``3.11`` gives ``3.12``."""
    major, minor = python.split(".")
    return f"{major}.{int(minor) + 1}"
