"""Which sizes are measured: in a minute, by default, and with all that the machine can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.scaling.shapes import Shape

GB = 10**9
_MODULES, _MODULE_BYTES = 20, 4000  # of a package
_FILE_BYTES = 1000  # where their number counts: most of a file's cost is not its bytes
_DATA_BYTES = 10**6  # where bytes count


@dataclass(frozen=True)
class Dimension:
    """What grows. shape: the environment for one size; None where it is no environment.

    quick, usual, full: the sizes that are measured; `full` takes an hour and 40 GB of disk.
    """

    name: str
    title: str
    quick: tuple[float, ...]
    usual: tuple[float, ...]
    full: tuple[float, ...]
    shape: Callable[[float], Shape] | None = None


def packages_shape(count: float) -> Shape:
    """So many packages of modules, on top of CPython."""
    return Shape(int(count), int(count) * _MODULES, _MODULE_BYTES, python=True)


def files_shape(count: float) -> Shape:
    """So many small files in ten packages."""
    return Shape(10, int(count), _FILE_BYTES)


def size_shape(gigabytes: float) -> Shape:
    """So many bytes in twenty packages."""
    return Shape(20, int(gigabytes * GB) // _DATA_BYTES, _DATA_BYTES)


DIMENSIONS: Mapping[str, Dimension] = {
    each.name: each
    for each in (
        Dimension(
            "packages",
            "packages",
            quick=(10, 50),
            usual=(10, 50, 200, 500),
            full=(10, 50, 200, 500),
            shape=packages_shape,
        ),
        Dimension(
            "files",
            "files",
            quick=(1e3, 1e4),
            usual=(1e4, 3e4, 1e5),
            full=(1e4, 1e5, 1e6),
            shape=files_shape,
        ),
        Dimension(
            "size",
            "size of the environment, GB",
            quick=(0.1, 0.3),
            usual=(0.1, 0.5, 2),
            full=(0.1, 0.5, 2, 8),
            shape=size_shape,
        ),
        Dimension(
            "images",
            "images that share packages",
            quick=(1, 2),
            usual=(1, 2, 4, 8, 16, 32, 64),
            full=(1, 2, 4, 8, 16, 32, 64),
        ),
    )
}
