"""Reading ``.deb`` files, which are not trusted.

deb(5): an ar archive of ``debian-binary`` ("2.0"), ``control.tar[.gz|.xz|.zst]``
and ``data.tar[...]``, in this order. Its digest was promised by a signed index,
but a base is no place for surprises, so every size and every name is checked.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slimpack.debian.codecs import CodecError, decompressed
from slimpack.errors import RuntimeBaseError
from slimpack.slices import open_slice

_MAGIC = b"!<arch>\n"
_HEADER = 60
MAX_CONTROL = 16 << 20
MAX_DATA = 512 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A tar inside the ar archive; `codec` names its compression, "" for none."""

    offset: int
    size: int
    codec: str


@dataclass(frozen=True, slots=True)
class Deb:
    """Where the two tars of a package file are."""

    path: Path
    control: Part
    data: Part


def refuse(what: str, problem: str) -> RuntimeBaseError:
    """Return the error for a package that is not going to be used."""
    return RuntimeBaseError(
        f"{what} is refused: {problem}",
        hint="the package is malformed or hostile; take another version or another mirror",
    )


def open_deb(path: Path, what: str) -> Deb:
    """Find the parts of a package file."""
    parts: dict[str, Part] = {}
    with open(path, "rb") as stream:
        end = path.stat().st_size
        for name, part in _members(stream, end, what):
            stem, _, codec = name.removesuffix("/").partition(".tar")
            if not parts and name == "debian-binary":
                stream.seek(part.offset)
                if not stream.read(min(part.size, 16)).startswith(b"2."):
                    raise refuse(what, "it is not of deb format 2")
            elif not parts:
                raise refuse(what, "it does not begin with debian-binary")
            elif name.startswith("_"):
                continue  # deb(5) keeps these names for extensions
            elif stem not in ("control", "data") or (codec and not codec.startswith(".")):
                raise refuse(what, f"it has a member {name!r}")
            if stem in parts:
                raise refuse(what, f"it has two members {stem}")
            parts[stem] = Part(part.offset, part.size, codec.removeprefix("."))
    if "control" not in parts or "data" not in parts:
        raise refuse(what, "control.tar or data.tar is missing")
    return Deb(path, parts["control"], parts["data"])


def _members(stream: BinaryIO, end: int, what: str) -> list[tuple[str, Part]]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise refuse(what, "it is no ar archive")
    members = []
    position = len(_MAGIC)
    while position < end:
        stream.seek(position)
        header = stream.read(_HEADER)
        size_text = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not size_text.isdigit():
            raise refuse(what, f"the ar header at byte {position} is damaged")
        size = int(size_text)
        start = position + _HEADER
        if start + size > end:
            raise refuse(what, "a member is larger than the file")
        name = header[:16].decode("ascii", "replace").strip()
        members.append((name.removesuffix("/"), Part(start, size, "")))
        position = start + size + size % 2
    return members


def unpack(deb: Deb, part: Part, limit: int, what: str) -> Iterator[bytes]:
    """Yield the uncompressed tar of a part."""
    try:
        with open_slice(deb.path, part.offset, part.size) as stream:
            yield from decompressed(stream, part.codec, limit)
    except CodecError as error:
        raise refuse(what, str(error)) from error


def read_control(deb: Deb, what: str) -> Mapping[str, bytes]:
    """Return the regular files of control.tar by name ("control", "md5sums")."""
    buffer = io.BytesIO(b"".join(unpack(deb, deb.control, MAX_CONTROL, what)))
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=buffer, mode="r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    continue
                if name in files:
                    raise refuse(what, f"control.tar holds {name!r} twice")
                files[name] = stream.read()
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise refuse(what, f"control.tar is damaged: {error}") from error
    if "control" not in files:
        raise refuse(what, "control.tar holds no control file")
    return files
