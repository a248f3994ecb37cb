"""What a base offers to the files above it: paths, libraries, users."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from slimpack.elf.loader import default_directories
from slimpack.elf.read import Elf, ElfError, read_elf
from slimpack.oci.digest import CHUNK
from slimpack.oci.image import Image
from slimpack.oci.rootfs import Placed, iter_layer_members, merged_view, read_files
from slimpack.rootfs import tree_of
from slimpack.verify.libraries import MACHINES
from slimpack.verify.lookup import Lookup

_SMALL = ("etc/passwd", "etc/group", "etc/ld.so.conf", "etc/ld.so.cache")
_CONFIGURATIONS = "etc/ld.so.conf.d/"
_MAX_SMALL = 1 << 20
_IN_MEMORY = 32 << 20  # bytes of a library that are held in memory; larger ones go to disk
_NOWHERE = Path("/nonexistent")  # contents are read from the layers, not from a folder
_LOADERS = {
    "linux/amd64": "/lib64/ld-linux-x86-64.so.2",
    "linux/arm64": "/lib/ld-linux-aarch64.so.1",
}  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """The files of a base. view: its `merged_view`."""

    image: Image
    view: Mapping[str, Placed]

    @classmethod
    def of(cls, image: Image) -> Surface:
        """Read the layers of a base."""
        return cls(image, merged_view(image))

    def has(self, path: str) -> bool:
        """Tell whether there is something at an absolute path, links followed."""
        return self._lookup.resolve(path) is not None

    def kind(self, path: str) -> str:
        """Return what is at a path of the image itself, "" for nothing."""
        placed = self.view.get(path)
        return placed.member.kind if placed else ""

    def is_searched(self, folder: str) -> bool:
        """Tell whether ld.so looks into a folder of the image, links followed, by itself."""
        return folder in self._searched

    @property
    def loader(self) -> str:
        """Where programs for the image's platform look for ld.so; "" for unknown platforms."""
        return _LOADERS.get(str(self.image.platform), "")

    @cached_property
    def users(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names and ids of its users, and of its groups (passwd(5), group(5))."""
        return _accounts(self._small.get("etc/passwd", b"")), _accounts(
            self._small.get("etc/group", b"")
        )

    @cached_property
    def libraries(self) -> Mapping[str, Elf]:
        """Name -> the library that ld.so finds under it without being told where."""
        wanted: dict[str, list[str]] = {}
        for folder in self._folders:
            for name in self._names(folder):
                found = self._lookup.resolve(f"{folder}/{name}") if ".so" in name else None
                if found is not None and self.kind(found) in ("file", "hardlink"):
                    wanted.setdefault(found, []).append(name)
        elves = self._elves(set(wanted))
        machine = MACHINES.get(str(self.image.platform), "")
        libraries: dict[str, Elf] = {}
        for path, names in wanted.items():
            elf = elves.get(path)
            for name in names:
                if elf is not None and elf.machine == machine and elf.kind == "shared":
                    libraries.setdefault(name, elf)
        return libraries

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(tree_of(self.view, _NOWHERE))

    @cached_property
    def _small(self) -> Mapping[str, bytes]:
        def wanted(path: str) -> bool:
            small = path in _SMALL or path.startswith(_CONFIGURATIONS)
            return small and self.view[path].member.size <= _MAX_SMALL

        return read_files(self.image, wanted, view=self.view)

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        def read(path: str) -> bytes | None:
            found = self._lookup.resolve(path)
            return self._small.get(found) if found else None

        machine = MACHINES.get(str(self.image.platform), "")
        return default_directories(read, self._names, machine)

    @cached_property
    def _searched(self) -> frozenset[str]:
        found = (self._lookup.resolve(folder) for folder in self._folders)
        return frozenset(folder for folder in found if folder is not None)

    def _names(self, folder: str) -> list[str]:
        found = self._lookup.resolve(folder)
        return self._contents.get(found, []) if found is not None else []

    @cached_property
    def _contents(self) -> Mapping[str, list[str]]:
        contents: dict[str, list[str]] = {}
        for path in self.view:
            folder, _, name = path.rpartition("/")
            contents.setdefault(folder, []).append(name)
        return contents

    def _elves(self, paths: set[str]) -> dict[str, Elf]:
        """Read the headers of files; what is no ELF file, or a damaged one, is left out."""
        sources: dict[tuple[int, int], list[str]] = {}
        for path in paths:
            placed = self.view[path]
            if placed.source is not None:
                sources.setdefault((placed.layer, placed.source.offset), []).append(path)
        found: dict[str, Elf] = {}
        for number in sorted({layer for layer, _ in sources}):
            for member, read in iter_layer_members(self.image.layers[number]):
                names = sources.get((number, member.offset), [])
                if not names:
                    continue
                with _seekable(read, member.size) as stream:
                    try:
                        elf = read_elf(stream, member.size, f"/{names[0]}")
                    except ElfError:
                        elf = None
                if elf is not None:
                    found.update(dict.fromkeys(names, elf))
        return found


def _seekable(read: Callable[[int], bytes], size: int) -> BinaryIO:
    """Return the content of a member as a stream that can seek; the caller closes it."""
    if size <= _IN_MEMORY:
        return io.BytesIO(read(size))
    stream = cast("BinaryIO", TemporaryFile())  # noqa: SIM115
    while data := read(CHUNK):
        stream.write(data)
    stream.seek(0)
    return stream


def _accounts(data: bytes) -> frozenset[str]:
    """Return the names and numbers of a passwd or group file."""
    return frozenset(_fields(data.decode("utf-8", "replace")))


def _fields(text: str) -> Iterator[str]:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) > 2:
            yield fields[0]
            yield fields[2]
