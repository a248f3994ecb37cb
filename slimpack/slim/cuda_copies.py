"""Copies of CUDA's libraries in one environment: those of conda packages and of wheels.

Two libraries of one soname are the same interface (NVIDIA keeps it inside a major version).
Which of them a process gets depends on what was loaded first. Here they are found, family by
family, and planned to become one: `slimpack.slim.cuda_owner` does it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from slimpack.cuda.driver import Version, numbers
from slimpack.cuda.families import TELLING, Family, family_of, split_name
from slimpack.slim.predicates import Files, elf_of
from slimpack.tree import Kind

# Where conda-forge and the wheels of NVIDIA put them; what other packages carry for themselves
# (Triton's own CUPTI) is theirs, and loaded by its path.
_PLACE = re.compile(r"(?:lib|targets/[^/]+/lib|lib/python[^/]+/site-packages/nvidia/.+)/[^/]+\Z")
_WHEEL = re.compile(r"lib/python[^/]+/site-packages/")
_SUFFIX = re.compile(r"-cu(\d\d)\Z")
_RECORD = re.compile(r"conda-meta/(?P<name>.+)-(?P<version>[^-]+)-[^-]+\.json\Z")
_DIST = re.compile(
    r"lib/python[^/]+/site-packages/(?P<name>[^/-]+)-(?P<version>[^/-]+)\.dist-info/METADATA\Z"
)


@dataclass(frozen=True)
class Copy:
    """The libraries of one family in one folder.

    files: soname -> path of the file. owner: the package of the first. version: the package's,
    () unknown.
    """

    folder: str
    files: Mapping[str, str]
    owner: str
    version: Version
    size: int

    @property
    def of_wheel(self) -> bool:
        """Whether a wheel brings it."""
        return bool(_WHEEL.match(self.folder))

    def told(self) -> str:
        """Return it in words: ``nvidia-cublas 13.1.1.3, 595.8 MB``."""
        version = ".".join(map(str, self.version))
        name = f"{self.owner.removeprefix('pypi:') or self.folder} {version}".strip()
        return f"{name}, {self.size / 1e6:.1f} MB"


@dataclass(frozen=True)
class Copies:
    """A family that is there more than once: the copy that is best, and the others.

    why_not: why they cannot be one, "" if they can.
    """

    family: Family
    best: Copy
    others: tuple[Copy, ...]
    why_not: str = ""

    def told(self) -> str:
        """Return it in words, with sizes."""
        copies = "; ".join(copy.told() for copy in (self.best, *self.others))
        return f"{self.family.name} ({copies})"


def copies_of(files: Files) -> list[Copies]:
    """Return the families of which a soname is there in more than one file."""
    found = _by_family(files)
    majors = _cuda_majors(files, found)
    told = []
    for family, copies in found.items():
        names = [name for copy in copies for name in copy.files]
        if len(names) == len(set(names)):
            continue
        # The newest; of two of one version, the one that all programs of conda find.
        best = max(copies, key=lambda copy: (copy.version, not copy.of_wheel, copy.folder))
        others = tuple(
            copy for copy in copies if copy is not best and best.files.keys() & copy.files.keys()
        )
        if others:
            why = _why_not(family, best, others, majors)
            told.append(Copies(family, best, others, why))
    return told


def _why_not(family: Family, best: Copy, others: Iterable[Copy], majors: set[int]) -> str:
    if not family.of_cuda and len(majors) > 1:
        return f"there are CUDA {' and '.join(map(str, sorted(majors)))}, and it may be for either"
    for copy in others:
        if not (best.version and copy.version):
            return "versions are not known"
        lacks = sorted(
            name
            for name in copy.files.keys() - best.files.keys()
            # Its soname has the minor version; only its own compiler opens it.
            if not split_name(name)[0].startswith("libnvrtc-builtins")
        )
        if lacks:
            return f"the copy of {best.owner or best.folder} has no {lacks[0]}"
    return ""


def _by_family(files: Files) -> dict[Family, list[Copy]]:
    versions = _versions(files)
    places: dict[tuple[Family, str], dict[str, str]] = {}
    for path, entry in files.entries.items():
        family = family_of(posixpath.basename(path))
        if family is None or entry.kind is not Kind.FILE or not _PLACE.match(path):
            continue
        elf = elf_of(path, entry, files)
        if elf and family_of(elf.soname) is family:
            places.setdefault((family, posixpath.dirname(path)), {}).setdefault(elf.soname, path)
    found: dict[Family, list[Copy]] = {}
    for (family, folder), libraries in places.items():
        entries = [files.entries[path] for path in libraries.values()]
        owner = entries[0].owner
        size = sum(entry.size for entry in entries)
        copy = Copy(folder, libraries, owner, versions.get(owner, ()), size)
        found.setdefault(family, []).append(copy)
    return found


def _versions(files: Files) -> dict[str, Version]:
    """Return owner -> version, told from the names of records."""
    found: dict[str, Version] = {}
    for path in files.entries:
        if match := _RECORD.match(path):
            found[match["name"]] = numbers(match["version"])
        elif match := _DIST.match(path):
            found[f"pypi:{canonicalize_name(match['name'])}"] = numbers(match["version"])
    return found


def _cuda_majors(files: Files, found: Mapping[Family, list[Copy]]) -> set[int]:
    """Return the major versions of CUDA whose libraries are there."""
    copies = [copy for copies in found.values() for copy in copies]
    majors = {
        numbers(version)[0]
        for copy in copies
        for stem, version in map(split_name, copy.files)
        if stem in TELLING and version
    }
    owners = {files.entries[path].owner for copy in copies for path in copy.files.values()}
    return majors | {int(match[1]) for owner in owners if (match := _SUFFIX.search(owner))}
