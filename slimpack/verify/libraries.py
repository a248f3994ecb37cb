"""The ELF files of a subject, and how its loader would find what they need."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from slimpack.elf.loader import default_directories
from slimpack.elf.read import Elf, ElfError, read_elf
from slimpack.elf.resolve import Loaded, Module, Need, Resolver
from slimpack.tree import Entry, Kind, Tree
from slimpack.verify.lookup import Lookup

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_MAX_CONFIG = 1 << 20
# Most files of an environment, and never loaded under such names: not worth opening.
_TEXT = (
    *(".py", ".pyc", ".pyi", ".pyx", ".pxd", ".h", ".hpp", ".txt", ".md", ".rst", ".json"),
    *(".html", ".csv", ".npy", ".npz", ".f90", ".c", ".cpp", ".tmpl", ".toml", ".xml"),
)


@dataclass(frozen=True)
class ElfFiles:
    """All ELF files for one machine, by path in the tree. damaged: (path, why) of the others."""

    files: Mapping[str, Elf]
    damaged: tuple[tuple[str, str], ...]

    @property
    def paths(self) -> frozenset[str]:
        """Of all of them, damaged ones included."""
        return frozenset((*self.files, *(path for path, _ in self.damaged)))


def read_elf_files(entries: Iterable[Entry], platform: str) -> ElfFiles:
    """Read every ELF file for `platform`; those for other machines are data, and left out."""
    machine = MACHINES.get(platform, "")
    files: dict[str, Elf] = {}
    damaged: list[tuple[str, str]] = []
    for entry in entries:
        if entry.path.endswith(_TEXT):
            continue
        try:
            with entry.open() as stream:
                elf = read_elf(stream, entry.size, f"/{entry.path}")
        except ElfError as error:
            damaged.append((entry.path, str(error)))
            continue
        if elf is not None and elf.machine == machine and elf.kind in ("executable", "shared"):
            files[entry.path] = elf
    return ElfFiles(files, tuple(damaged))


class Libraries:
    """Looks libraries up as the subject's loader does.

    tree, lookup: of the subject; what lies outside of its root (never in an image) is
        looked up on this machine.
    """

    def __init__(
        self, found: ElfFiles, tree: Tree, lookup: Lookup, env: Mapping[str, str], machine: str
    ) -> None:
        self._found = found.files
        self._tree = tree
        self._lookup = lookup
        self._host = lru_cache(maxsize=None)(_read_host)
        self.elf_at = lru_cache(maxsize=None)(self._elf_at)
        self.resolver = Resolver(
            self.elf_at,
            default_directories(self._read, self._names, machine),
            [path for path in env.get("LD_LIBRARY_PATH", "").split(":") if path],
        )

    def program(self, path: str) -> Loaded | None:
        """Return a program, at an absolute path, with all its libraries; None if it is none."""
        elf = self.elf_at(path)
        return self.resolver.load(path, elf) if elf is not None else None

    def needs(self, path: str, elf: Elf, program: Loaded | None) -> list[Need]:
        """Resolve what one file needs, opened by `program` if that is given."""
        if program is None:
            return self.resolver.resolve(path, elf)
        first: Module = next(iter(program.modules.values()))
        return self.resolver.resolve(path, elf, (first,), loaded=program.names)

    @cached_property
    def sonames(self) -> Mapping[str, tuple[str, ...]]:
        """Name of a library (soname or file name) -> the paths in the tree that have it."""
        found: dict[str, list[str]] = {}
        for path, elf in self._found.items():
            for name in {elf.soname, path.rpartition("/")[2]} - {""}:
                found.setdefault(name, []).append(path)
        for entry in self._tree:
            if entry.kind is Kind.SYMLINK:
                target = self._lookup.resolve(entry.path)
                if target is not None and target in self._found:
                    found.setdefault(entry.path.rpartition("/")[2], []).append(target)
        return {name: tuple(paths) for name, paths in found.items()}

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Every name that any file needs."""
        return frozenset(name for elf in self._found.values() for name in elf.needed)

    def _elf_at(self, path: str) -> Elf | None:
        if self._lookup.is_outside(path):
            return self._host(path)
        found = self._lookup.resolve(path)
        return self._found.get(found) if found else None

    def _read(self, path: str) -> bytes | None:
        if self._lookup.is_outside(path):
            try:
                with open(path, "rb") as stream:
                    return stream.read(_MAX_CONFIG)
            except OSError:
                return None
        entry = self._lookup.find(path)
        if entry is None or entry.kind is not Kind.FILE:
            return None
        with entry.open() as stream:
            return stream.read(_MAX_CONFIG)

    def _names(self, folder: str) -> list[str]:
        if self._lookup.is_outside(folder):
            return os.listdir(folder) if Path(folder).is_dir() else []  # noqa: PTH208 (names)
        found = self._lookup.resolve(folder)
        if found is None:
            return []
        inside = f"{found}/" if found else ""
        below = (e.path[len(inside) :] for e in self._tree if e.path.startswith(inside))
        return sorted({path.partition("/")[0] for path in below} - {""})


def _read_host(path: str) -> Elf | None:
    try:
        with open(path, "rb") as stream:
            return read_elf(stream, os.fstat(stream.fileno()).st_size, path)
    except (OSError, ElfError):
        return None
