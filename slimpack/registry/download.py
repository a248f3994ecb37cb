"""Blobs of a registry, kept on disk.

A blob that is on its way lies in ``partial/`` beside the finished ones, under a lock: two
processes that want the same one do not load it twice, and whoever was killed, or lost the
connection, goes on where the file ends (a Range request). It gets its name when its
digest has been checked.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slimpack.errors import ImageError
from slimpack.files import explained
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import CHUNK, hex_of, sha256
from slimpack.progress import Progress
from slimpack.registry.client import Registry
from slimpack.registry.failures import PassingError
from slimpack.registry.partial import Partial, partial, sweep
from slimpack.registry.upload import Advance, Told

_PARTIAL = "partial"


@dataclass(frozen=True)
class Kept:
    """A repository whose blobs are kept in `store`."""

    registry: Registry
    repository: str
    store: BlobStore
    progress: Progress

    def open(self, digest: str, size: int) -> BinaryIO:
        """Open a blob, downloading it first if need be. Raises RegistryError and ImageError."""
        for _ in range(2):
            if not self.has(digest, size):
                with self.progress.task(f"pull {hex_of(digest)[:12]}", total=size) as task:
                    self.fetch(digest, size, task.advance)
            # Whoever keeps the store small may be quicker than we are, once.
            with suppress(FileNotFoundError):
                return self.store.open(digest)
        raise ImageError(f"blob {digest} vanishes from {self.store.directory}")

    def has(self, digest: str, size: int) -> bool:
        """Tell whether the blob is here, and mark it as used."""
        path = self.store.path(digest)
        try:
            if path.stat().st_size != size:
                path.unlink()
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        except PermissionError:  # somebody else's store, which we may read
            return True
        return True

    def fetch(self, digest: str, size: int, advance: Advance | None = None) -> None:
        """Download a blob unless it is here; `advance` is told of all its bytes."""
        told = Told(advance)
        target = self.store.path(digest)
        with explained(target), partial(self._folder / hex_of(digest)) as file:
            if not self.has(digest, size):
                self._load(file, digest, size, told)
                file.publish(target)
        told.reach(size)

    def small(self, digest: str, size: int, limit: int) -> bytes:
        """Return a small blob, which is kept as well."""
        data = self.cached(digest, limit)
        if data is None:
            data = self.registry.read_blob(self.repository, digest, min(size, limit))
            self.store.add(data)
        return data

    def cached(self, digest: str, limit: int) -> bytes | None:
        """Return a small blob if it is here and is what it should be."""
        path = self.store.path(digest)
        try:
            with path.open("rb") as stream:
                data = stream.read(limit + 1)
        except FileNotFoundError:
            return None
        if sha256(data) != digest:
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    @property
    def _folder(self) -> Path:
        return self.store.directory / _PARTIAL

    def _load(self, file: Partial, digest: str, size: int, told: Told) -> None:
        """Fill the file; what was in it before is kept if the whole is right in the end."""
        if file.size > size:
            file.empty()
        kept = file.size
        self._fill(file, digest, size, told)
        if kept and file.digest != digest:
            file.empty()
            self._fill(file, digest, size, told)
        if file.digest != digest:
            found = file.digest
            file.empty()
            raise ImageError(
                f"{self._name}: blob {digest} does not match its digest: {found} came",
                hint="it was altered on the way, or the registry is at fault",
            )

    def _fill(self, file: Partial, digest: str, size: int, told: Told) -> None:
        best = file.size

        def go_on() -> None:
            nonlocal best
            while file.size < size:
                try:
                    self._append(file, digest, size, told)
                except PassingError:
                    # A break after good progress is no reason to give up.
                    if file.size - best < CHUNK:
                        raise
                if file.size <= best:
                    raise ImageError(
                        f"{self._name}: blob {digest} has {file.size} bytes, but its manifest "
                        f"declares {size}"
                    )
                best = file.size

        self.registry.session.retry.run(go_on)

    def _append(self, file: Partial, digest: str, size: int, told: Told) -> None:
        """Load from where the file ends, or from the beginning if the registry wants it so."""
        body = self.registry.open_blob(self.repository, digest, file.size)
        try:
            if body.start != file.size:
                file.empty()
            while data := body.read(CHUNK):
                if file.size + len(data) > size:
                    file.empty()
                    raise ImageError(
                        f"{self._name}: blob {digest} is longer than the {size} bytes that its "
                        "manifest declares"
                    )
                file.write(data)
                told.reach(file.size)
        finally:
            body.close()

    @property
    def _name(self) -> str:
        return f"{self.registry.host}/{self.repository}"


@dataclass(frozen=True)
class RemoteLayer:
    """What opens a layer of a registry (a `Source` of `slimpack.oci.layer`)."""

    kept: Kept
    digest: str
    size: int

    def __call__(self) -> BinaryIO:
        """Open the layer, downloading it first if need be."""
        return self.kept.open(self.digest, self.size)

    def is_here(self) -> bool:
        """Tell whether it was downloaded already."""
        return self.kept.has(self.digest, self.size)


def sweep_store(store: BlobStore) -> None:
    """Remove downloads that nobody has gone on with for a week."""
    sweep(store.directory / _PARTIAL)
