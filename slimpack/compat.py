"""NVIDIA's compatibility libraries, where the container toolkit looks for them.

conda-forge's ``cuda-compat`` keeps them in a folder of their own below the prefix. The
toolkit looks in ``/usr/local/cuda/compat`` and puts that folder first for the loader when
its libraries are newer than the host's driver, and only then: on a newer driver they do
not work. (libnvidia-container's nvc_container.c, the toolkit's hook ``enable-cuda-compat``.)
"""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterator

from slimpack.errors import InputError
from slimpack.tree import Entry, Tree, symlink_entry, under

PACKAGE = "cuda-compat"
PLACE = "usr/local/cuda/compat"
_FOLDER = "cuda-compat"


def compat_link(tree: Tree, prefix: str, base: Container[str] = ()) -> Iterator[Entry]:
    """Yield the link at `PLACE`, which is relative: older toolkits look from the host's root.

    base: the paths of what lies below. Raises InputError when the environment has no such
    libraries, or the base may have its own.
    """
    if posixpath.dirname(PLACE) in base:
        raise InputError(
            f"[env] cuda_compat: the base has a /{posixpath.dirname(PLACE)} of its own",
            hint="NVIDIA's images bring compatibility libraries: leave cuda_compat out, or take "
            "the runtime cuda",
        )
    folder = under(prefix, _FOLDER)
    if not any(entry.path.startswith(f"{folder}/libcuda.so.") for entry in tree):
        raise InputError(
            f"[env] cuda_compat: no compatibility libraries in /{folder}",
            hint="a lock, an environment or an archive must have the package cuda-compat itself",
        )
    target = posixpath.relpath(f"/{folder}", f"/{posixpath.dirname(PLACE)}")
    yield symlink_entry(PLACE, target, owner=PACKAGE)
