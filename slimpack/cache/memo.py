"""A small store on disk: results of stages by what they follow from.

::

    <folder>/<kind>/<first two digits of the key>/<the others>

Each file is a line that names the format, the SHA-256 of kind, key and data, and the
data. So a file that was cut off, damaged or moved to another name is never believed;
it is removed. Nothing waits for the disk: what a power cut leaves empty is such a file.
Writers replace a whole file at once, and two of one key write what follows from it,
so any number of processes may use one folder, and any of them may be killed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from slimpack.cache.notes import CacheNotes
from slimpack.errors import ImageError, SlimpackError
from slimpack.files import atomic_file
from slimpack.oci.jsontext import canonical

MAX_DATA = 128 << 20
"""Most bytes of one result; a larger one is not kept."""

MALFORMED = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(RecursionError, ImageError),
)
"""What reading a result raises that is of another form than it should be: those that come from
registries may be anything."""

_MAGIC = b"slimpack memo 1\n"
_HEAD = len(_MAGIC) + 32
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_KEY = re.compile(r"[0-9a-f]{8,128}")


class FarMemos(Protocol):
    """Memos in another place, such as a registry."""

    def get_memo(self, kind: str, key: str) -> bytes | None:
        """Return what is there; None, and never an error, when it is not or cannot be had."""


class Memo:
    """Bytes by kind and key; see the module's text.

    kind: a lower-case word (``tree``), key: hex digits (see `digest_of`); ValueError
    for anything else. Nothing raises because of the disk: what cannot be read is not
    there, what cannot be written is noted in `notes`.
    far, shared: who is asked for what is not here, and for which kinds: those that make
        sense on another machine.
    """

    def __init__(
        self,
        folder: Path,
        notes: CacheNotes | None = None,
        *,
        far: FarMemos | None = None,
        shared: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self.notes = notes or CacheNotes()
        self.written = 0
        """Bytes that were stored by this object."""
        self.used: dict[tuple[str, str], None] = {}
        """Kinds and keys of what was found or put, of the kinds that are shared."""
        self._far = far
        self._shared = frozenset(shared)

    def path(self, kind: str, key: str) -> Path:
        """Return where a result is, or would be."""
        if not _KIND.fullmatch(kind) or not _KEY.fullmatch(key):
            raise ValueError(f"not a kind and a key of a memo: {kind!r}, {key!r}")
        return self.folder / kind / key[:2] / key[2:]

    def get(self, kind: str, key: str) -> bytes | None:
        """Return the data that was put there, None if there is none or it is damaged."""
        data = self._read(kind, key)
        if kind in self._shared:
            if data is None and self._far is not None:
                data = self._far.get_memo(kind, key)
                if data is not None:
                    self.put(kind, key, data)
            if data is not None:
                self.used[kind, key] = None
        return data

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keep `data`, replacing what is there."""
        path = self.path(kind, key)
        if kind in self._shared:
            self.used[kind, key] = None
        if len(data) > MAX_DATA:
            return
        try:
            with atomic_file(path, durable=False) as stream:
                stream.write(sealed(kind, key, data))
        except SlimpackError as error:
            self.notes.unwritable(self.folder, error)
        else:
            self.written += len(data)

    def remove(self, kind: str, key: str) -> None:
        """Forget a result."""
        with suppress(OSError):
            self.path(kind, key).unlink()

    def _read(self, kind: str, key: str) -> bytes | None:
        path = self.path(kind, key)
        try:
            with open(path, "rb") as stream:
                small = os.fstat(stream.fileno()).st_size <= _HEAD + MAX_DATA
                found = stream.read() if small else b""
        except OSError:
            return None
        data = unsealed(kind, key, found)
        with suppress(OSError):  # a cache that is only ours to read
            if data is None:
                path.unlink()
            else:
                os.utime(path)
        return data


def sealed(kind: str, key: str, data: bytes) -> bytes:
    """Return the content of a file."""
    return _MAGIC + _seal(kind, key, data) + data


def unsealed(kind: str, key: str, content: bytes) -> bytes | None:
    """Return the data of a file's content, None unless it is whole and has its own name."""
    data = content[_HEAD:]
    whole = content.startswith(_MAGIC) and content[len(_MAGIC) : _HEAD] == _seal(kind, key, data)
    return data if whole else None


def digest_of(*parts: object) -> str:
    """Return a key for what follows from `parts`: 64 hex digits.

    parts: text, numbers, booleans, None, and lists, tuples and dicts (with text as
    keys) of those; TypeError for anything else, bytes and paths included.
    """
    return hashlib.sha256(canonical(parts)).hexdigest()


def _seal(kind: str, key: str, data: bytes) -> bytes:
    seal = hashlib.sha256(f"{kind}/{key}\n".encode())
    seal.update(data)
    return seal.digest()
