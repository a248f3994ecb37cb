"""Whether other files of some packages are nobody's concern but theirs."""

from __future__ import annotations

from collections.abc import Iterable

from slimpack.cuda.families import family_of
from slimpack.env.meta import CLOBBERS, Installed
from slimpack.slim.bytecode import source_of
from slimpack.tree import Tree, under
from slimpack.warm.noswap import NoSwap
from slimpack.warm.remembered import Remembered
from slimpack.warm.ties import fixed_owners, listing

_ACTIVATION = "etc/conda/"
_ZONES = "share/zoneinfo/"


def check_packages(old: Remembered, installed: Installed, changed: frozenset[str]) -> None:
    """Raise NoSwap unless the changed packages keep to themselves."""
    owners = {path: owner for path, owner in old.paths.items() if owner not in changed}
    for package in installed.packages:
        if package.name not in changed:
            continue
        if package.name == "python":
            raise NoSwap("another Python")
        for file in package.files:
            if file.path in owners or file.replaced or file.path.startswith(f"{CLOBBERS}/"):
                raise NoSwap(f"{file.path} changes hands")
            if file.path in installed.shared:
                raise NoSwap(f"{file.path} belongs to several packages")


def check_files(old: Remembered, tree: Tree, changed: frozenset[str], prefix: str) -> None:
    """Raise NoSwap for files, old or new, that have a say in more than their package."""
    inside = under(prefix, "")
    before = {path for path, owner in old.paths.items() if owner in changed}
    after = {entry.path.removeprefix(inside) for entry in tree}
    for path in before | after:
        _check_path(path)
    if changed & old.fixed:
        raise NoSwap("a package that others are tied to")
    if found := fixed_owners(tree):
        raise NoSwap(f"{', '.join(sorted(found))}: now with libraries, programs or links")
    new = {entry.path.removeprefix(inside): entry.owner for entry in tree}
    unchanged = {path: owner for path, owner in old.paths.items() if owner not in changed}
    if found := frozenset(listing(tree, {**unchanged, **new}, prefix)):
        raise NoSwap(f"{', '.join(sorted(found))}: a RECORD lists files of another package")
    if _zones(before) != _zones(after):
        raise NoSwap("time zones come or go")
    if _programs(before) != _programs(after):
        raise NoSwap("programs come or go")  # first lines of scripts ask for them
    _check_bytecode(before | after, unchanged)
    _check_links(old, before ^ after, changed, prefix)


def _check_path(path: str) -> None:
    folder, _, name = path.rpartition("/")
    if (
        path.startswith((_ACTIVATION, "bin/."))
        or (folder == "conda-meta" and not name.endswith(".json") and name != "history")
        or (name.startswith(".") and name.endswith(".hmac"))
        or name.startswith("_sysconfigdata_")
        or family_of(name)
    ):
        raise NoSwap(f"{path} has a say in activation, in what Python is, or in other files")


def _zones(paths: Iterable[str]) -> set[str]:
    return {path for path in paths if path.startswith(_ZONES)}


def _programs(paths: Iterable[str]) -> set[str]:
    return {path.split("/")[1] for path in paths if path.startswith("bin/")}


def _check_bytecode(paths: set[str], others: Iterable[str]) -> None:
    """Raise NoSwap where a source is in one package and bytecode of it in another."""
    others = set(others)
    for path in paths:
        if "/__pycache__/" in path and source_of(path) in others:
            raise NoSwap(f"{path} is bytecode of another package")
    for path in others:
        if "/__pycache__/" in path and source_of(path) in paths:
            raise NoSwap(f"{path} is bytecode of another package")


def _check_links(old: Remembered, moving: set[str], changed: frozenset[str], prefix: str) -> None:
    """Raise NoSwap where a link leads to what comes or goes: slimming takes dead links.

    moving: paths that come or go. A link to a folder stays as long as something in it does.
    """
    inside = under(prefix, "")
    stays = [row[0].removeprefix(inside) for row in old.rows if row[3] not in changed]
    for path, target in old.links.items():
        below = f"{target}/"
        if target in moving or (
            any(one.startswith(below) for one in moving)
            and not any(one.startswith(below) for one in stays)
        ):
            raise NoSwap(f"the link {path} leads to files that come or go")
