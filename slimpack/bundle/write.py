"""Writing a bundle: one tar, whose bytes depend on its contents alone, or volumes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from slimpack.bundle.ahead import ahead
from slimpack.bundle.contents import Part, Plan
from slimpack.bundle.cutting import forget_volumes, new_volumes
from slimpack.bundle.model import SIGNATURE, STATEMENT
from slimpack.files import atomic_file
from slimpack.oci.digest import Writable
from slimpack.oci.tar import END, Advance, member_size, tar_chunks
from slimpack.tree import Entry

Sign = Callable[[bytes], bytes]
"""Returns the signature of a statement, as the text of the member `SIGNATURE`."""


@dataclass(frozen=True)
class Written:
    """What was written. size: of the tar, cut into volumes or not. paths: all files."""

    size: int
    paths: tuple[Path, ...]


def write_bundle(
    contents: Plan,
    path: Path,
    *,
    sign: Sign | None = None,
    volume_size: int | None = None,
    advance: Advance | None = None,
) -> Written:
    """Write a bundle to `path`, or in volumes of at most `volume_size` bytes beside it.

    Files appear when all is whole, and take the place of an older bundle of that name, be it
    a tar or volumes; an error or Ctrl-C leaves what was there before. advance:
    called with the number of bytes just written, which add up to `bundle_size`. Raises what
    `sign` raises, ImageError for content that is not what its digest says, SlimpackError
    when it cannot be written.
    """
    entries = list(_entries(contents, sign))
    out: AbstractContextManager[Writable]
    paths: tuple[Path, ...]
    if volume_size is None:
        out, paths = atomic_file(path), (path,)
    else:
        volumes = new_volumes(path, volume_size, _size(entries))
        out, paths = volumes, volumes.paths
    size = 0
    with out as stream, closing(ahead(tar_chunks(entries, mtime=0))) as pieces:
        for data in pieces:
            stream.write(data)
            size += len(data)
            if advance is not None:
                advance(len(data))
    if volume_size is None:
        forget_volumes(path)
    return Written(size, paths)


def bundle_size(contents: Plan, signature: int = 0) -> int:
    """Return how many bytes a bundle has, without reading a layer.

    signature: bytes of its signature, 0 for none.
    """
    return _size(list(_entries(contents, (lambda _: bytes(signature)) if signature else None)))


def _size(entries: list[Entry]) -> int:
    return sum(map(member_size, entries)) + len(END)


def _entries(contents: Plan, sign: Sign | None) -> Iterator[Entry]:
    statement = contents.statement.to_json()
    yield Part.of(STATEMENT, statement).entry()
    if sign is not None:
        yield Part.of(SIGNATURE, sign(statement)).entry()
    for part in contents.parts:
        yield part.entry()
