"""Where slimpack keeps what a later build can use again.

``$SLIMPACK_CACHE_DIR``, else ``$XDG_CACHE_HOME/slimpack``, else
``~/.cache/slimpack``. Everything in it can be removed at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from slimpack.errors import InputError


@dataclass(frozen=True)
class Cache:
    """The cache's folders; each is made when it is first used."""

    root: Path

    @property
    def packages(self) -> Path:
        """Extracted conda packages. Installed files are hard links to these."""
        return self.root / "pkgs"

    @property
    def repodata(self) -> Path:
        """Channel indexes."""
        return self.root / "repodata"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for one build, on the cache's file system, gone afterwards.

        The package cache and the staging prefix must share a file system for
        hard links. The name is short because it is written into scripts.
        """
        folder = self.root / "tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix="b", dir=folder, ignore_cleanup_errors=True) as name:
                yield Path(name)
        except PermissionError as error:
            raise InputError(
                f"{error.filename}: cannot be written",
                hint="set SLIMPACK_CACHE_DIR to a folder that can",
            ) from error


def default_cache(environ: Mapping[str, str] = os.environ) -> Cache:
    """Return the cache that the environment asks for."""
    if own := environ.get("SLIMPACK_CACHE_DIR"):
        return Cache(Path(own).absolute())
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Cache(Path(xdg).absolute() / "slimpack")
    return Cache(Path("~/.cache/slimpack").expanduser())
