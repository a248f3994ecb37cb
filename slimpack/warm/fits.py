"""Whether other files of some packages are nobody's concern but theirs."""

from __future__ import annotations

from slimpack.cuda.families import family_of
from slimpack.env.meta import CLOBBERS, Installed
from slimpack.tree import Entry, Kind, Tree, may_be_elf, under
from slimpack.warm.noswap import NoSwap
from slimpack.warm.remembered import Remembered

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
        if path.startswith((_ACTIVATION, "bin/.")) or family_of(path.rpartition("/")[2]):
            raise NoSwap(f"{path} has a say in activation, or is of CUDA")
    if any(path.startswith(_ZONES) for path in before) != any(
        path.startswith(_ZONES) for path in after
    ):
        raise NoSwap("time zones come or go")
    if changed & old.fixed:
        raise NoSwap("a package of libraries, programs or links")
    if found := fixed_owners(tree):
        raise NoSwap(f"{', '.join(sorted(found))}: now with libraries, programs or links")


def fixed_owners(tree: Tree) -> frozenset[str]:
    """Return the owners of links, and of libraries and programs: those lead to other files."""
    found = set()
    for entry in tree:
        if entry.owner not in found and (
            entry.link
            or (entry.kind is Kind.FILE and may_be_elf(entry.path, entry.mode) and _is_elf(entry))
        ):
            found.add(entry.owner)
    return frozenset(found)


def _is_elf(entry: Entry) -> bool:
    with entry.open() as stream:
        return stream.read(4) == b"\x7fELF"
