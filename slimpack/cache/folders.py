"""Where slimpack keeps what a later build can use again.

``$SLIMPACK_CACHE_DIR``, else ``$XDG_CACHE_HOME/slimpack``, else
``~/.cache/slimpack``. Everything in it can be removed at any time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from slimpack.errors import InputError

# What the system says of a place where nothing can be made, whoever tries the next time.
_NO_PLACE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
)


@dataclass(frozen=True)
class Cache:
    """The cache's folders; each is made when it is first used.

    results: where memos and records are, if not in `root`; see `with_help_of`.
    """

    root: Path
    results: Path | None = None

    @property
    def packages(self) -> Path:
        """Extracted conda packages. Installed files are hard links to these."""
        return self.root / "pkgs"

    @property
    def interpreters(self) -> Path:
        """Installed Pythons that write bytecode; hard links to the packages."""
        return self.root / "python"

    @property
    def repodata(self) -> Path:
        """Channel indexes."""
        return self.root / "repodata"

    @property
    def debian(self) -> Path:
        """What Debian bases are made of (`slimpack.debian.store`)."""
        return self.root / "debian"

    @property
    def blobs(self) -> Path:
        """Layers that were built, and those of base images that were pulled, by digest."""
        return self.root / "blobs"

    @property
    def records(self) -> Path:
        """What is known of layers that were built; outlives their bytes."""
        return (self.results or self.root) / "records"

    @property
    def memos(self) -> Path:
        """Results of stages."""
        return (self.results or self.root) / "memos"

    @property
    def apart(self) -> Path:
        """Memos and records that came from caches in registries, or were made with their help."""
        return self.root / "apart"

    def with_help_of(self, *names: str) -> Cache:
        """Return a view with memos and records of its own, for builds that trust others.

        names: the repositories whose word is taken. Blobs, which are what their digests
        say whoever brought them, stay the same; so does everything else.
        """
        known = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
        return replace(self, results=self.apart / known)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for one build, on the cache's file system, gone afterwards.

        The package cache and the staging prefix must share a file system for
        hard links. The name is short because it is written into scripts.
        """
        folder = self.root / "tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                _sweep(folder)
                scratch = TemporaryDirectory(prefix="b", dir=folder, ignore_cleanup_errors=True)
                mine = _lock(Path(scratch.name))
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            raise InputError(
                f"{error.filename}: cannot be written",
                hint="set SLIMPACK_CACHE_DIR to a folder that can",
            ) from error
        try:
            with scratch as name:
                yield Path(name)
        finally:
            os.close(mine)

    @contextmanager
    def quiet(self) -> Iterator[bool]:
        """Keep builds from starting; tell whether none is running. Raises OSError."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _sweep(folder)
            yield not any(left.is_dir() for left in folder.iterdir())


def _lock(folder: Path, flags: int = 0) -> int:
    """Return a descriptor that holds the lock of a folder until it is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove the scratch folders of builds that were killed: nobody holds their locks."""
    for left in folder.iterdir():
        try:
            os.close(_lock(left, fcntl.LOCK_NB))
        except OSError:
            continue  # its build is running, or it is no folder
        shutil.rmtree(left, ignore_errors=True)


def default_cache(environ: Mapping[str, str] = os.environ) -> Cache:
    """Return the cache that the environment asks for.

    Links are followed: what a program finds out about its own place is the
    real path, and the scan for build paths has to know it.
    """
    if own := environ.get("SLIMPACK_CACHE_DIR"):
        return Cache(Path(own).resolve())
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Cache(Path(xdg).resolve() / "slimpack")
    try:
        return Cache(Path("~/.cache/slimpack").expanduser().resolve())
    except RuntimeError as error:
        raise InputError(
            "there is no home folder for the cache", hint="set SLIMPACK_CACHE_DIR"
        ) from error
