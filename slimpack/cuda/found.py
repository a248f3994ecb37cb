"""Which version of CUDA an environment has, told from the names of its packages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimpack.cuda.driver import numbers

# conda packages, then wheels (their names end in -cu12 and the like before CUDA 13), the
# most telling first. The version of a component begins with that of its CUDA.
_CONDA = ("cuda-version", "cuda-cudart", "cudatoolkit", "cuda-nvrtc")
_WHEELS = ("nvidia-cuda-runtime", "nvidia-cuda-nvrtc")


def cuda_versions(packages: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the versions of CUDA (``12.8``) among packages; more than one is a mistake.

    packages: (name, version) of all that conda and pip installed. The most telling name
    counts for each of the two; the first version is conda's, if it has any.
    """
    known = dict(packages)
    found = [_first(known, _CONDA), _first(known, tuple(_wheels(known)))]
    return tuple(dict.fromkeys(version for version in found if version))


def cuda_version(packages: Iterable[tuple[str, str]]) -> str:
    """Return the version of CUDA among packages, "" for none; see `cuda_versions`."""
    return next(iter(cuda_versions(packages)), "")


def _wheels(known: Iterable[str]) -> Iterator[str]:
    names = sorted(known)
    for stem in _WHEELS:
        for name in names:
            if name == stem or name.startswith(f"{stem}-cu"):
                yield name


def _first(known: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        version = numbers(known.get(name, ""))
        if len(version) >= 2:
            return f"{version[0]}.{version[1]}"
    return ""
