"""The folder format: the tree itself, whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slimpack.archive.place import Site
from slimpack.errors import InputError
from slimpack.files import explained, temporary_name
from slimpack.oci.tar import Advance, content
from slimpack.tree import Entry, Kind


@contextmanager
def new_folder(path: Path, *, force: bool = False, durable: bool = True) -> Iterator[Path]:
    """Give an empty private folder that becomes `path` (mode 0755) when the body ends well.

    Otherwise nothing is left, nor of the folders above that were missing. `path` must
    not exist or be an empty folder; with `force` an environment (a folder with
    conda-meta inside) is replaced too, and removed once the new one has its place.
    durable: wait until all is on the disk. Raises InputError for what is in the way,
    SlimpackError when the disk is full or refuses.
    """
    with explained(path):
        path = path.resolve() if path.is_symlink() else path.absolute()
    old = check_free(path, force)
    with explained(path), _folders_above(path):
        staging, aside = temporary_name(path), temporary_name(path)
        staging.mkdir(mode=0o700)
        try:
            yield staging
            staging.chmod(0o755)
            if durable:
                os.sync()  # one call for tens of thousands of files
            if old:
                path.rename(aside)
            try:
                staging.rename(path)
            except BaseException:
                if old:
                    aside.rename(path)
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _folders_above(path: Path) -> Iterator[None]:
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):  # never there, or somebody else uses it by now
                parent.rmdir()
        raise


def check_free(path: Path, force: bool) -> bool:
    """Tell whether an environment is to be replaced; raise InputError if that is not allowed."""
    if not path.exists():
        return False
    if not path.is_dir():
        raise InputError(f"{path} is in the way", hint="choose a folder that does not exist yet")
    if path.samefile("."):  # its place would be taken by another folder, which nobody is in
        raise InputError(
            f"{path} is the folder that you are in", hint="name a folder that does not exist yet"
        )
    with os.scandir(path) as inside:
        if next(inside, None) is None:
            return False
    if not force:
        raise InputError(
            f"the folder {path} is not empty",
            hint="choose a folder that does not exist yet, or --force to replace an environment",
        )
    if not (path / "conda-meta").is_dir():
        raise InputError(
            f"{path} is no environment and will not be replaced",
            hint="remove it yourself or choose another folder",
        )
    return True


def place_members(
    members: Iterable[Entry], root: Path, *, mtime: int, advance: Advance | None = None
) -> None:
    """Make `members` (parents first) in the empty folder `root`, each of time `mtime`.

    advance: called with the number of bytes of files just written. Raises ImageError,
    naming the path, for content that cannot be read or has not the size it should.
    """
    site = Site(root)
    for entry in members:
        if entry.kind is Kind.DIRECTORY:
            site.folder(entry.path, mode=entry.mode)
        elif entry.kind is Kind.SYMLINK:
            site.symlink(entry.path, entry.link, mtime=mtime)
        else:
            site.file(entry.path, _told(entry, advance), mode=entry.mode, mtime=mtime)
    site.finish(mtime=mtime)


def _told(entry: Entry, advance: Advance | None) -> Iterator[bytes]:
    for data in content(entry):
        yield data
        if advance is not None:
            advance(len(data))
