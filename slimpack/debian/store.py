"""The cache of a base on disk: blobs by digest, and two kinds of notes.

::

    <cache>/debian/sha256/<hex>          .deb files, indexes, unpacked data.tar
    <cache>/debian/release/<suite>       the last InRelease that was believed
    <cache>/debian/notes/<hex>.json      results that follow from their key alone

Everything is written beside its place, flushed, then renamed, so another
process sees a whole file or none and two builds at once only do work twice. A
blob is hashed again before each use: one that was damaged is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slimpack.errors import RuntimeBaseError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Store:
    """Files below one folder; see the module's text."""

    root: Path

    def blob(self, sha256: str) -> Path:
        """Return where the blob of this digest is, or would be."""
        return self.root / "sha256" / sha256

    def find(self, sha256: str, size: int) -> Path | None:
        """Return the blob if it is there and whole; remove it if it is not whole."""
        path = self.blob(sha256)
        try:
            with open(path, "rb") as stream:
                whole = os.fstat(stream.fileno()).st_size == size and digest(stream) == sha256
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.root, error) from error
        if whole:
            return path
        path.unlink(missing_ok=True)
        return None

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[BinaryIO]:
        """Open a new file that takes the place of `path` when the block ends well."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        except OSError as error:
            raise _unusable(self.root, error) from error
        temporary = Path(name)
        try:
            with open(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            raise _unusable(self.root, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def add(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep a stream of bytes under its digest; return digest and size."""
        folder = self.root / "sha256"
        value = hashlib.sha256()
        size = 0
        # Named by digest only once that is known; nobody else writes to this name.
        unique = folder / f".adding-{secrets.token_hex(8)}"
        with self.create(unique) as stream:
            for chunk in chunks:
                value.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        unique.replace(self.blob(value.hexdigest()))
        return value.hexdigest(), size

    def note(self, key: str) -> object:
        """Return the note kept under `key`, or None; a damaged one counts as none."""
        try:
            text = self._note_path(key).read_text(encoding="utf-8")
            whole = json.loads(text)
        except (OSError, ValueError):
            return None
        if not isinstance(whole, dict) or whole.get("key") != key:
            return None
        value: object = whole.get("value")
        return value if whole.get("check") == _check(value) else None

    def keep_note(self, key: str, value: object) -> None:
        """Keep a JSON value that follows from `key` alone."""
        whole = {"key": key, "value": value, "check": _check(value)}
        with self.create(self._note_path(key)) as stream:
            stream.write(json.dumps(whole, indent=1).encode())

    def _note_path(self, key: str) -> Path:
        return self.root / "notes" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def digest(stream: BinaryIO) -> str:
    """Return the SHA-256 of the rest of a stream."""
    value = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        value.update(chunk)
    return value.hexdigest()


def _check(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _unusable(root: Path, error: OSError) -> RuntimeBaseError:
    return RuntimeBaseError(
        f"the cache {root} cannot be used: {error.strerror or error}",
        hint="free some space there, or choose another cache folder",
    )
