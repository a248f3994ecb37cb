"""Blobs that are rebuilt from patches and from blobs that the far side has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from slimpack.bundle.model import Patch
from slimpack.errors import BundleError
from slimpack.oci.digest import ByteStream

Opener = Callable[[], ByteStream]


def rebuild(patch: Patch, open_patch: Opener, bases: Mapping[str, Opener], path: Path) -> None:
    """Write the blob `patch.target` to `path`, made of the patch and of its bases.

    open_patch: opens the patch, verified. bases: digest -> opens a blob of the far side.
    Raises BundleError for a patch that does not make what it says.
    """
    raise BundleError(f"blob {patch.target.digest} is patched, which is not supported")
