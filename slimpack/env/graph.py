"""Which package of an environment needs which other, by their metadata."""

from __future__ import annotations

from collections.abc import Mapping

from slimpack.env.meta import Installed


def dependencies(
    installed: Installed, conda_dists: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """Return package -> the packages of the environment that it depends on, both as owners.

    Packages are named as `Entry.owner` names them: a conda package by its name, what pip
    installed as ``pypi:NAME``. conda_dists: what `slimpack.env.dists.owned_dists` gives,
    by which the requirements of pip's packages are found among conda's. Virtual packages
    and what is not there are left out.
    """
    names = {package.name for package in installed.packages}
    found = {
        package.name: tuple(sorted({name for name in package.depends if name in names}))
        for package in installed.packages
    }
    pip = {dist.name: dist.owner for dist in installed.dists}
    for dist in installed.dists:
        owners = set()
        for name in dist.requires:
            owner = pip.get(name) or conda_dists.get(name, ("", ""))[1]
            owners.add(owner or (name if name in names else ""))
        found[dist.owner] = tuple(sorted(owners - {"", dist.owner}))
    return found
