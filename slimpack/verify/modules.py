"""The Python modules of a subject, told from its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slimpack.tree import Entry, Kind
from slimpack.verify.subject import Python, Subject

# A browser opens, a poem or a greeting is printed; or there is nothing but tests and a script.
UNWANTED = frozenset(
    ("antigravity", "this", "test", "__main__", "__hello__", "__phello__", "site-packages")
)
_DATA_FOLDERS = frozenset(("test", "tests", "testing", "docs", "doc", "examples", "benchmarks"))
_MAX_NAMESPACE = 3  # folders: google.cloud.storage


@dataclass(frozen=True)
class Importable:
    """A module that is to be imported. path: of its file or folder. package: its owner's name."""

    name: str
    path: str
    package: str
    stdlib: bool = False


def importable_modules(subject: Subject, skip: tuple[str, ...] = ()) -> list[Importable]:
    """Return every top-level module of every package, the standard library first.

    skip: globs of names. Modules that slimming removed are not there, and not listed; of a
    namespace package the packages and modules in it are.
    """
    python = subject.python
    if python is None:
        return []
    listing = _Listing(subject, python)
    found = [
        *listing.top(python.library, stdlib=True),
        *listing.top(f"{python.library}/lib-dynload", stdlib=True),
        *listing.top(f"{python.library}/site-packages"),
    ]
    gone = set(subject.record.modules) if subject.record else set()
    wanted = {
        module.name: module
        for module in reversed(found)
        if module.name not in UNWANTED | gone
        and not any(fnmatchcase(module.name, pattern) for pattern in skip)
    }
    return sorted(wanted.values(), key=lambda one: (not one.stdlib, one.package, one.name))


def extension_module(subject: Subject, path: str) -> str:
    """Return the dotted name under which Python imports a shared library, "" if it does not."""
    python = subject.python
    if python is None or not path.startswith(f"{python.library}/"):
        return ""
    below = path[len(python.library) + 1 :]
    below = re.sub(r"\A(?:site-packages|lib-dynload)/", "", below)
    folder, _, name = below.rpartition("/")
    stem = _extension(name, python)
    parts = [*(folder.split("/") if folder else ()), stem]
    return ".".join(parts) if stem and all(part.isidentifier() for part in parts) else ""


def _extension(name: str, python: Python) -> str:
    """Return the module's name of a file that this Python loads as one, else ""."""
    stem, dot, rest = name.partition(".")
    if rest == "so":  # also an ordinary library, which is never called like that
        return "" if stem.startswith("lib") else stem
    tagged = rest.startswith(f"{python.tag}-") or rest == "abi3.so"
    return stem if dot and tagged and rest.endswith(".so") else ""


class _Listing:
    """Folders of the tree, and the modules in them."""

    def __init__(self, subject: Subject, python: Python) -> None:
        self._subject = subject
        self._python = python
        self._names: dict[str, dict[str, Entry | None]] = {}
        for entry in subject.tree:
            if entry.path.startswith(f"{python.library}/"):
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        path, child = entry.path, None if entry.kind is Kind.DIRECTORY else entry
        while len(path) > len(self._python.library):
            folder, _, name = path.rpartition("/")
            names = self._names.setdefault(folder, {})
            if name in names:
                return
            names[name] = child
            path, child = folder, None

    def top(self, folder: str, *, stdlib: bool = False) -> Iterator[Importable]:
        """Yield the modules and packages in a folder of the search path."""
        yield from self._modules(folder, "", 0 if stdlib else _MAX_NAMESPACE, stdlib)

    def _modules(self, folder: str, above: str, depth: int, stdlib: bool) -> Iterator[Importable]:
        for name, entry in sorted(self._names.get(folder, {}).items()):
            path = f"{folder}/{name}"
            if entry is None:
                yield from self._package(path, above, depth, stdlib)
            elif stem := self._stem(name):
                yield Importable(f"{above}{stem}", path, self._subject.owner(path), stdlib)

    def _package(self, path: str, above: str, depth: int, stdlib: bool) -> Iterator[Importable]:
        name = posixpath.basename(path)
        if not name.isidentifier() or name == "__pycache__":
            return
        inside = self._names.get(path, {})
        start = next((file for file in inside if self._stem(file) == "__init__"), None)
        if start is not None:
            owner = self._subject.owner(f"{path}/{start}")
            yield Importable(f"{above}{name}", path, owner, stdlib)
        elif depth > 1 and name not in _DATA_FOLDERS:
            yield from self._modules(path, f"{above}{name}.", depth - 1, stdlib)

    def _stem(self, name: str) -> str:
        """Return the module's name of a file that Python imports by itself, else ""."""
        stem, dot, ending = name.partition(".")
        if not stem.isidentifier() or not dot:
            return ""
        return stem if ending in ("py", "pyc") else _extension(name, self._python)
