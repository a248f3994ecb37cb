"""The page cache: emptied, so that files come from the disk, or filled with some."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.setup.apt import SetupError

_DROP = Path("/proc/sys/vm/drop_caches")
_PART = 1 << 20


def drop(keep: Iterable[Path] = ()) -> None:
    """Write to the disk what is to be written, forget all files, and read those of `keep` again.

    Raises SetupError where that is not permitted.
    """
    os.sync()
    try:
        _DROP.write_text("3")
    except OSError as error:
        raise SetupError(
            f"the page cache cannot be dropped here ({_DROP}: {error.strerror}), "
            "and without that a start is not cold"
        ) from error
    for path in keep:
        read(path)


def read(path: Path) -> None:
    """Bring a file into memory."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(_PART):
            pass
