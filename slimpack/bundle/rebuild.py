"""Blobs that are rebuilt from patches and from blobs that the far side has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slimpack.bundle.model import Patch
from slimpack.errors import BundleError
from slimpack.oci.digest import ByteStream


@dataclass(frozen=True)
class Held:
    """A blob that the far side has.

    size: in bytes, 0 where a registry does not say. source: the repository where it can be
    mounted from, "" for none.
    """

    open: Callable[[], ByteStream] = field(repr=False)
    size: int
    source: str = ""


@dataclass(frozen=True)
class Rebuilder:
    """Makes the blobs of patches. bases: digest -> blob. scratch: a folder for what it makes."""

    bases: Mapping[str, Held]
    scratch: Path

    def rebuild(self, patch: Patch, open_patch: Callable[[], ByteStream]) -> Path:
        """Return a file with the blob `patch.target`; one at a time.

        open_patch: opens the patch, verified. Raises BundleError for a patch that does not
        make what it says.
        """
        raise BundleError(
            f"blob {patch.target.digest} is patched together, which this slimpack cannot do"
        )
