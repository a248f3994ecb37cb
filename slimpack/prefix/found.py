"""Find the path of the environment in files that nobody declares.

Scripts and settings of pip packages, what users wrote, what somebody changed. No
digest can prove a restoration here, so the path is taken only where it stands as a
path of its own, and only in forms that can be rewritten without harm.
"""

from __future__ import annotations

import mmap
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slimpack.prefix.restore import PLACEHOLDER, occurrences, replaced, stands_in
from slimpack.prefix.shebang import shortened

Mode = Literal["", "text", "binary", "unknown"]

# Object files hold paths as C strings: ELF, Mach-O (thin and universal), ar.
_OBJECTS = (
    b"\x7fELF",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"!<arch>\n",
)
_MAPPED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class PrefixFile:
    """A file of an environment as the relocation engine takes it.

    source: on disk. target: path below the prefix.
    placeholder: the path that stands in it and must become the new prefix, "" for none.
    mode: how it stands there. "unknown": it does, in a form that cannot be
        rewritten (a pickle, an archive); such a file goes in as it is.
    sha256: hex digest that `source` must have, because its package declares it;
        "" when nobody does.
    owner: as in `slimpack.tree.Entry`.
    """

    source: Path
    target: str
    placeholder: str = ""
    mode: Mode = ""
    sha256: str = ""
    owner: str = ""


class Spill:
    """Keeps rewritten files in a scratch folder, with the permissions of the original."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def keep(self, data: bytes, like: Path) -> Path:
        """Write `data` to a new file and return its path."""
        self._number += 1
        path = self._folder / f"restored-{self._number}"
        path.write_bytes(data)
        shutil.copymode(like, path)
        return path


def as_found(
    source: Path, target: str, *, homes: Sequence[str], spill: Spill, owner: str = ""
) -> PrefixFile:
    """Describe a file that no package declares, looking for any of the paths `homes` in it.

    Text gets one placeholder of ours in the place of the path, so that the result
    does not depend on where the environment lay. Bytecode is left as it is.
    """
    plain = PrefixFile(source, target, owner=owner)
    if target.endswith((".pyc", ".pyo")) or not stat.S_ISREG(source.lstat().st_mode):
        return plain
    data = _naming(source, homes)
    if data is None:
        return plain
    named = [home for home in homes if _names(data, home)]
    if not named:
        return plain
    text = _canonical(data, named)
    if text is not None:
        kept = spill.keep(text, source)
        return PrefixFile(kept, target, PLACEHOLDER, "text", owner=owner)
    if data.startswith(_OBJECTS):
        return PrefixFile(source, target, named[0], "binary", owner=owner)
    return PrefixFile(source, target, mode="unknown", owner=owner)


def _naming(path: Path, homes: Sequence[str]) -> bytes | None:
    """Return the content of a file that has one of the paths in it, else None."""
    needles = [home.encode() for home in homes]
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= _MAPPED_BYTES:
            data = stream.read()
            return data if any(needle in data for needle in needles) else None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return view[:] if any(view.find(needle) >= 0 for needle in needles) else None


def _names(data: bytes, home: str) -> bool:
    if b"\0" in data:
        return stands_in(data, home)
    return next(occurrences(data, home), None) is not None


def _canonical(data: bytes, homes: Sequence[str]) -> bytes | None:
    """Return text with our placeholder for each of the paths, None when it is no text.

    A script with something else behind it (a zipapp) counts as text where only its
    first line names a path: Python finds the archive from its end.
    """
    head, rest = data, b""
    if b"\0" in data:
        line, newline, rest = data.partition(b"\n")
        head = line + newline
        again = any(stands_in(rest, home) for home in homes)
        if not data.startswith(b"#!") or b"\0" in head or again:
            return None
    head = shortened(head)
    for home in sorted(homes, key=len, reverse=True):
        head = replaced(head, home, PLACEHOLDER)
    return head + rest
