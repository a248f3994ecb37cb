"""What ties packages of an environment together: files of one that decide about another's."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from slimpack.env.meta import CLOBBERS, Installed
from slimpack.tree import Entry, Kind, Tree, may_be_elf, under

_SCRIPT = re.compile(r"etc/conda/activate\.d/[^/]+\.sh\Z")
# What a line of an activation script may be that looks at no file and runs no program.
_VARIABLE = r"\$(?:\{\w+\}|\w+\b)"
_QUOTED = rf"""\"[^"`$\\]*(?:{_VARIABLE}[^"`$\\]*)*\"|'[^']*'"""
_VALUE = rf"""(?:{_QUOTED}|{_VARIABLE}|[^\s"'`$;|&<>()*?\[\\])*"""
_PLAIN = re.compile(
    rf"(?:#.*|(?:export\s+)?[A-Za-z_]\w*={_VALUE}|export\s+[A-Za-z_]\w*|unset\s+[A-Za-z_]\w*)?\Z"
)


def tied(tree: Tree, installed: Installed, prefix: str) -> frozenset[str]:
    """Return the packages whose files cannot be replaced without a look at the others.

    tree: the environment as it was relocated to `prefix`. installed: what it consists of.
    """
    names = frozenset(package.name for package in installed.packages)
    inside = under(prefix, "")
    for entry in tree:
        if _SCRIPT.match(entry.path.removeprefix(inside)) and not is_plain(entry):
            return names  # it may ask for any file
    owners = {entry.path.removeprefix(inside): entry.owner for entry in tree}
    return frozenset({*fixed_owners(tree), *sharing(installed), *listing(tree, owners, prefix)})


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


def sharing(installed: Installed) -> Iterator[str]:
    """Yield the packages that claim a path which another claims, too."""
    for names in installed.shared.values():
        yield from names
    for package in installed.packages:
        for file in package.files:
            if file.replaced or file.path.startswith(f"{CLOBBERS}/"):
                yield package.name
                yield installed.owners.get(file.replaced, package.name)


def listing(tree: Tree, owners: Mapping[str, str], prefix: str) -> Iterator[str]:
    """Yield the packages with a RECORD (PEP 376) that lists a file of another, and these.

    owners: path below the prefix -> package.
    """
    inside = under(prefix, "")
    for entry in tree:
        path = entry.path.removeprefix(inside)
        if entry.kind is not Kind.FILE or not path.endswith(".dist-info/RECORD"):
            continue
        site = posixpath.dirname(posixpath.dirname(path))
        for name in _listed(entry.read()):
            owner = owners.get(posixpath.normpath(posixpath.join(site, name)), entry.owner)
            if owner != entry.owner:
                yield owner
                yield entry.owner


def links_of(tree: Tree, prefix: str) -> dict[str, str]:
    """Return path below the prefix -> target, for the links of an environment."""
    inside = under(prefix, "")
    return {
        entry.path.removeprefix(inside): entry.link.removeprefix(f"/{inside}")
        if entry.link.startswith(f"/{inside}")
        else posixpath.normpath(
            posixpath.join(posixpath.dirname(entry.path.removeprefix(inside)), entry.link)
        )
        for entry in tree
        if entry.link
    }


def programs_of(prefix: Path) -> frozenset[str]:
    """Return the names that an installed environment has in its ``bin``; no dead links."""
    folder = prefix / "bin"
    return frozenset(path.name for path in folder.glob("*") if path.exists())


def is_plain(script: Entry) -> bool:
    """Tell whether an activation script sets variables and does nothing else."""
    text = script.read().decode("utf-8", "replace")
    return all(_PLAIN.match(line.strip()) for line in text.splitlines())


def _listed(record: bytes) -> Iterator[str]:
    try:
        for row in csv.reader(record.decode("utf-8").splitlines()):
            if row and row[0]:
                yield row[0]
    except (ValueError, csv.Error):  # it stays as it is
        return


def _is_elf(entry: Entry) -> bool:
    with entry.open() as stream:
        return stream.read(4) == b"\x7fELF"
