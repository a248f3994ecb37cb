"""From names that packages need to the components of the image that they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from slimpack.sbom.model import Component, Dist, Inventory
from slimpack.sbom.packages import Found

FILES = "files-of-no-package"
SYSTEM = "operating-system"
"""What is in the image beside packages, as documents refer to it."""

# What conda calls a virtual package is here a package of the base.
_VIRTUAL = {"__glibc": "libc6"}


def linked(found: Sequence[Found], brought: Mapping[str, Sequence[Found]]) -> tuple[Component, ...]:
    """Return the components with what they depend on, in order of purl, each purl once.

    brought: record of a conda package -> the Python distributions that it brought. What is
    not in the image is left out. conda's packages need those of their own prefix and, for
    ``__glibc``, the base's C library; pip's need those beside them, or conda's.
    """
    conda: dict[tuple[str, str], str] = {}
    pypi: dict[str, str] = {}
    debian: dict[str, str] = {}
    for item in found:
        part = item.component
        if part.kind == "conda":
            conda[item.place, part.name] = part.purl
        elif part.kind == "pypi":
            pypi[part.name] = part.purl
        else:
            debian[part.name] = part.purl
    python = {**_names_of_dists(found, brought), **pypi}

    def target(item: Found, name: str) -> str:
        if item.component.kind == "conda":
            virtual = debian.get(_VIRTUAL.get(name, ""), "")
            return conda.get((item.place, name), "") or virtual
        if item.component.kind == "pypi":
            return python.get(str(canonicalize_name(name)), "")
        return debian.get(name, "")

    components: dict[str, Component] = {}
    for item in sorted(found, key=lambda item: item.component.record):
        targets = {
            next(filter(None, (target(item, name) for name in choice)), "") for choice in item.needs
        }
        depends = tuple(sorted(targets - {"", item.component.purl}))
        dists = tuple(map(_dist, brought.get(item.component.record, ())))
        part = replace(item.component, depends=depends, dists=dists)
        components.setdefault(part.purl, part)
    return tuple(components[purl] for purl in sorted(components))


def roots_of(components: Iterable[Component]) -> tuple[str, ...]:
    """Return the fewest purls from which all others are reached: what nobody needs.

    Of packages that need each other in a circle which nobody else enters, the first by purl.
    """
    depends = {part.purl: part.depends for part in components}
    needed = {purl for purls in depends.values() for purl in purls}
    roots: list[str] = []
    reached: set[str] = set()
    for purl in (*sorted(depends.keys() - needed), *sorted(needed)):
        if purl in reached:
            continue
        roots.append(purl)
        waiting = [purl]
        while waiting:
            here = waiting.pop()
            if here not in reached:
                reached.add(here)
                waiting += depends.get(here, ())
    return tuple(sorted(roots))


def edges(inventory: Inventory) -> dict[str, list[str]]:
    """Return the graph: the image (its digest), then purl -> purls of what that needs.

    The image needs what no package needs; the base's packages hang on its system.
    """
    debian = {part.purl for part in inventory.components if part.kind == "debian"}
    below = [purl for purl in inventory.roots if purl in debian and inventory.system]
    top = [purl for purl in inventory.roots if purl not in below]
    found = {part.purl: list(part.depends) for part in inventory.components}
    if inventory.system:
        found[SYSTEM] = below
        top.append(SYSTEM)
    if inventory.files:
        found[FILES] = []
        top.append(FILES)
    return {inventory.digest: top, **found}


def _names_of_dists(
    found: Sequence[Found], brought: Mapping[str, Sequence[Found]]
) -> dict[str, str]:
    """Return name of a distribution -> purl of the conda package that brought it."""
    return {
        dist.component.name: item.component.purl
        for item in found
        for dist in brought.get(item.component.record, ())
    }


def _dist(found: Found) -> Dist:
    part = found.component
    return Dist(part.purl, part.name, part.version, part.licence)
