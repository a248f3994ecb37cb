"""CUDA's libraries by family: which belong together in one version, and which open which.

Sources: the file lists of NVIDIA's archives and wheels; the names that stand in the libraries
(docs/cuda.md, "One owner").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

_NAME = re.compile(r"(?P<stem>[\w.+-]+?)\.so(?:\.(?P<version>\d[\d.]*))?\Z")


@dataclass(frozen=True)
class Family:
    """Libraries that are made, and must be taken, together.

    members: their names up to ".so"; globs. of_cuda: their soname's number is of CUDA's
    major version, or changes with it: one soname is never of two CUDAs.
    """

    name: str
    members: tuple[str, ...]
    of_cuda: bool = True


FAMILIES: tuple[Family, ...] = (
    Family("cudart", ("libcudart",)),
    Family("NVRTC", ("libnvrtc", "libnvrtc-builtins", "libnvrtc.alt", "libnvrtc-builtins.alt")),
    Family("nvJitLink", ("libnvJitLink",)),
    Family("cuBLAS", ("libcublas", "libcublasLt", "libnvblas")),
    Family("cuFFT", ("libcufft", "libcufftw")),
    Family("NPP", ("libnpp*",)),
    Family("nvJPEG", ("libnvjpeg",)),
    Family("CUPTI", ("libcupti",)),
    # One soname for two major versions of CUDA, or for all.
    Family("cuRAND", ("libcurand",), of_cuda=False),
    Family("cuSOLVER", ("libcusolver", "libcusolverMg"), of_cuda=False),
    Family("cuSPARSE", ("libcusparse",), of_cuda=False),
    Family("cuDNN", ("libcudnn", "libcudnn_*"), of_cuda=False),
    Family("cuSPARSELt", ("libcusparseLt",), of_cuda=False),
    Family("cuTENSOR", ("libcutensor", "libcutensorMg"), of_cuda=False),
    Family("cuFile", ("libcufile", "libcufile_rdma"), of_cuda=False),
    Family("NCCL", ("libnccl",), of_cuda=False),
    Family("NVSHMEM", ("libnvshmem_host", "nvshmem_*"), of_cuda=False),
    Family("NVVM", ("libnvvm",), of_cuda=False),
)  # fmt: skip

TELLING = ("libcudart", "libnvrtc", "libnvJitLink", "libcublas")
"""The number in their sonames is CUDA's major version (since CUDA 12; libnvrtc since 11.2)."""


@dataclass(frozen=True)
class Opened:
    """A library that another opens by dlopen.

    stem: its name up to ".so". what: goes without it. exact: its soname has the minor
    version, which stands in the file that opens it; else it has the opener's number.
    needed: whether the opener fails without it in ordinary work.
    """

    stem: str
    what: str = ""
    exact: bool = False
    needed: bool = True


OPENS: Mapping[str, tuple[Opened, ...]] = MappingProxyType(
    {
        "libcudnn": (
            Opened("libcudnn_graph"),
            Opened("libcudnn_ops"),
            Opened("libcudnn_cnn"),
            Opened("libcudnn_adv"),
        ),
        "libcudnn_graph": (
            Opened("libcudnn_heuristic"),
            Opened("libcudnn_engines_runtime_compiled"),
            Opened(
                "libcudnn_engines_precompiled",
                "kernels are compiled when they are first used, and some operations have none",
                needed=False,
            ),
        ),
        "libnvrtc": (Opened("libnvrtc-builtins", exact=True),),
        "libnvrtc.alt": (Opened("libnvrtc-builtins.alt", exact=True),),
    }
)
"""Name of a library up to ".so" -> what it opens. What DT_NEEDED names is not here."""

PARTIAL = ("libcudnn-jit", "nvidia-cudnn-jit-cu*")
"""Packages (globs) that leave out parts of their family by design."""


def split_name(name: str) -> tuple[str, str]:
    """Return the parts of a library's file name or soname: ("libcublas", "13"), ("", "") for none.

    The version is "" for ``libcublas.so``.
    """
    match = _NAME.match(name)
    return (match["stem"], match["version"] or "") if match else ("", "")


def family_of(name: str) -> Family | None:
    """Return the family of a library by its file name or soname, None for one of no family."""
    stem = split_name(name)[0]
    if not stem:  # no library: all files of an environment are asked for
        return None
    return next(
        (one for one in FAMILIES if any(fnmatchcase(stem, glob) for glob in one.members)), None
    )
