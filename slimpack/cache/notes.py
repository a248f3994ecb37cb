"""What goes wrong with a cache is told at the end of a build and stops nothing."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

from slimpack.errors import SlimpackError

_MOST = 20


class CacheNotes:
    """Notes for the user, each once; safe for any number of threads."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Keep a note, unless it is there or there are 20."""
        with self._lock:
            if len(self._texts) < _MOST:
                self._texts[text] = None

    def unwritable(self, folder: Path, error: OSError | SlimpackError) -> None:
        """Note that a folder of the cache takes nothing, once for all its files."""
        cause = error.__cause__ if isinstance(error, SlimpackError) else error
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
        self.add(f"the cache {folder} cannot be written ({reason}): built without it")

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes so far."""
        with self._lock:
            return tuple(self._texts)


def is_unwritable(error: SlimpackError) -> bool:
    """Tell whether `slimpack.files` could not write: no fault of what was to be written."""
    return type(error) is SlimpackError and isinstance(error.__cause__, OSError)


def is_full(error: SlimpackError) -> bool:
    """Tell whether that was for want of space."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
