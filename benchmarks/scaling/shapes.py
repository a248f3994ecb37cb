"""Environments of a given shape: so many packages, files and bytes, made into a conda channel."""

from __future__ import annotations

import hashlib
import math
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.conda_format import Metadata, PathRecord, info_files
from benchmarks.channel.container import add_file, add_tar
from benchmarks.scaling.content import Content

_LEVEL = 1  # of the packages: they are only read
_FOLDER_FILES = 200  # a folder has no more
_RANGE = 16.0  # of the sizes of files, the largest to the smallest
# Of the middle size to the mean, so that the mean is what is asked for.
_MIDDLE = math.log(_RANGE) / (math.sqrt(_RANGE) - 1 / math.sqrt(_RANGE))


@dataclass(frozen=True)
class Shape:
    """An environment. size: bytes of a file, on average. python: modules, on top of CPython."""

    packages: int
    files: int
    size: int
    python: bool = False

    @property
    def bytes(self) -> int:
        """Of all generated files together, about."""
        return self.files * self.size

    @property
    def names(self) -> tuple[str, ...]:
        """Of the generated packages."""
        return tuple(f"scale-{number:03}" for number in range(self.packages))

    @property
    def specs(self) -> tuple[str, ...]:
        """What a solver is asked for."""
        return (*(("python =3.11",) if self.python else ()), *self.names)


def make_packages(shape: Shape, channel: Path, say: Callable[[str], None]) -> None:
    """Write the packages of a shape into a channel, which is not indexed yet."""
    content = Content()
    for number, name in enumerate(shape.names):
        count = shape.files // shape.packages + (number < shape.files % shape.packages)
        meta = Metadata(
            name=name,
            version="1.0",
            noarch="python" if shape.python else "generic",
            subdir="noarch",
            depends=_depends(shape, number),
            license="BSD-3-Clause",
        )
        files = _modules if shape.python else _data
        write_package(meta, files(name, count, shape.size, content), channel / "noarch")
        if number % 100 == 99:
            say(f"made {number + 1} packages")


def write_package(meta: Metadata, files: Iterable[tuple[str, bytes]], folder: Path) -> Path:
    """Write a package of regular files; none is held for longer than its turn."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / meta.file_name
    records: list[PathRecord] = []

    def noted() -> Iterator[tuple[str, bytes]]:
        for path, data in files:
            digest = hashlib.sha256(data).hexdigest()
            records.append(PathRecord(path, "hardlink", digest, len(data)))
            yield path, data

    with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as scratch:
        draft = Path(scratch) / meta.file_name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            add_file(archive, "metadata.json", b'{"conda_pkg_format_version": 2}')
            add_tar(archive, f"pkg-{meta.dist}.tar.zst", noted(), meta.timestamp, _LEVEL)
            info = info_files(meta, records)
            add_tar(archive, f"info-{meta.dist}.tar.zst", info.items(), meta.timestamp, _LEVEL)
        draft.replace(target)
    return target


def _depends(shape: Shape, number: int) -> tuple[str, ...]:
    """Each needs two before it, so that there is a graph."""
    needed = {number // 2, number // 3} - {number}
    own = tuple(shape.names[other] for other in sorted(needed))
    return (*(("python >=3.10",) if shape.python else ()), *own)


def _data(name: str, count: int, size: int, content: Content) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        folder, rest = divmod(number, _FOLDER_FILES)
        length = int(size * _MIDDLE * spread(number))
        yield f"share/{name}/{folder:05}/{rest:03}.dat", content.file(length)


def spread(number: int) -> float:
    """Return what a file's size is to the middle one's, 1/4 to 4, and as often below 1 as above."""
    fraction = number * 2_654_435_761 % 2**32 / 2**32  # Knuth's: even, and never in a row
    return float(_RANGE**fraction / math.sqrt(_RANGE))


def _modules(name: str, count: int, size: int, content: Content) -> Iterator[tuple[str, bytes]]:
    package = name.replace("-", "_")
    yield f"site-packages/{package}/__init__.py", content.module(size)
    for number in range(count - 1):
        yield f"site-packages/{package}/m{number:04}.py", content.module(size)
