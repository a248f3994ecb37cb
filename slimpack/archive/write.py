"""Writing a tree as a portable archive: reproducible, whole or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slimpack.archive.blocks import block_writer
from slimpack.archive.folder import new_folder, place_members
from slimpack.archive.formats import Packing
from slimpack.archive.links import without_links
from slimpack.archive.selfextract import MAX_HEADER, Payload, find_payload
from slimpack.archive.squash import write_squashfs
from slimpack.archive.zipwriter import write_zip
from slimpack.errors import ArchiveError, ImageError, InputError
from slimpack.files import atomic_file, size_and_digest
from slimpack.oci.compress import Compression
from slimpack.oci.digest import HashingWriter, Writable, hex_of
from slimpack.oci.tar import tar_size, with_parents, write_tar
from slimpack.progress import Progress, Task
from slimpack.tree import Entry, Tree

Installer = Callable[[Payload], bytes]
"""Makes the script of a self-extracting archive; its length must not depend on the payload."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_TIME = (1 << 32) - 1  # squashfs has no later one


@dataclass(frozen=True)
class Written:
    """An archive that was written.

    path: as asked for.
    size: bytes of the archive; for a folder, of the files in it.
    sha256: of the archive, 64 hex digits; "" for a folder.
    files: number of files and links in it, folders not counted.
    """

    path: Path
    size: int
    sha256: str
    files: int


def write_archive(
    tree: Tree,
    path: Path,
    packing: Packing,
    *,
    mtime: int,
    progress: Progress,
    installer: Installer | None = None,
    force: bool = False,
) -> Written:
    """Write `tree`, whose paths are those inside the archive, to `path`.

    mtime: seconds since the epoch, of every member. installer: for the format ``sh``,
    and only for it. force: a folder may replace an environment that is there; files are
    always replaced. The bytes depend on the tree, `packing` but for its threads,
    `mtime` and the versions of the compressors alone. Names must be UTF-8, in every
    format: what cannot be said on the machine that unpacks is better refused here. Control
    characters are refused in a zip, since unzip drops them, and kept elsewhere.

    Raises InputError for names that are not UTF-8, for a time that formats cannot
    hold, for an output that is in the way and for a missing mksquashfs; ArchiveError
    for content that changed while it was read; SlimpackError for a disk that is full
    or refuses. Then, and on KeyboardInterrupt, nothing is left.
    """
    if not 0 <= mtime <= _MAX_TIME:
        raise InputError(f"archives cannot hold the time {mtime}", hint="use 0 to 4294967295")
    if packing.format == "sh" and installer is None:
        raise ValueError("a self-extracting archive needs an installer")
    _check_names(tree, packing)
    with _as_archive_error():
        members = with_parents(tree)
        if packing.format == "zip" and not packing.zip_symlinks:
            members = list(without_links(members))
        return _Writer(members, path, packing, mtime, progress, installer, force).write()


def _check_names(tree: Tree, packing: Packing) -> None:
    for entry in tree:
        if packing.format == "zip" and _CONTROL.search(entry.path):
            raise InputError(
                f"the name {entry.path!r} has control characters, which unzip leaves out",
                hint="rename the file or write a tar archive",
            )
        try:
            f"{entry.path}\n{entry.link}".encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the name {entry.path!r} is not UTF-8",
                hint="rename the file or leave it out: other machines could not say its name",
            ) from error


@contextmanager
def _as_archive_error() -> Iterator[None]:
    try:
        yield
    except ImageError as error:  # of the tar writer, which images share
        raise ArchiveError(error.message, hint=error.hint, details=error.details) from error


@dataclass(frozen=True)
class _Writer:
    members: list[Entry]
    path: Path
    packing: Packing
    mtime: int
    progress: Progress
    installer: Installer | None
    force: bool

    def write(self) -> Written:
        files = sum(entry.opener is not None or bool(entry.link) for entry in self.members)
        size, digest = self._by_format()()
        return Written(self.path, size, digest, files)

    def _by_format(self) -> Callable[[], tuple[int, str]]:
        special = {
            "zip": self._zip,
            "squashfs": self._squashfs,
            "sh": self._script,
            "folder": self._folder,
        }
        return special.get(self.packing.format, self._tar)

    def _tar(self) -> tuple[int, str]:
        with self._task(tar_size(self.members)) as task, atomic_file(self.path) as out:
            return self._pack(out, task)

    def _pack(self, out: Writable, task: Task) -> tuple[int, str]:
        """Write the compressed tar to `out`; return its size and digest."""
        sink = HashingWriter(out)
        with _compressor(sink, self.packing, tar_size(self.members)) as packer:
            write_tar(self.members, packer, mtime=self.mtime, advance=task.advance)
        return sink.size, hex_of(sink.digest)

    def _script(self) -> tuple[int, str]:
        assert self.installer is not None
        with self._task(tar_size(self.members)) as task, self._seekable() as out:
            header = self.installer(self._payload(0, "0" * 64))
            out.write(header)
            size, digest = self._pack(out, task)
            final = self.installer(self._payload(size, digest))
            _check_header(header, final)
            out.seek(0)
            out.write(final)
            os.fchmod(out.fileno(), 0o755)
            out.flush()
            _check_line(Path(out.name), len(final), digest)
            return size_and_digest(Path(out.name))

    def _payload(self, size: int, digest: str) -> Payload:
        return Payload(
            size=size,
            sha256=digest,
            compression=self.packing.codec,
            unpacked=self._content,
            members=len(self.members),
        )

    def _zip(self) -> tuple[int, str]:
        with self._task(self._content) as task, self._seekable() as out:
            write_zip(
                self.members,
                out,
                mtime=self.mtime,
                level=self.packing.effective_level,
                threads=self.packing.workers,
                advance=task.advance,
            )
            out.flush()
            return size_and_digest(Path(out.name))

    def _squashfs(self) -> tuple[int, str]:
        with self._task(tar_size(self.members)) as task, self._seekable() as out:
            made = Path(out.name)  # mksquashfs writes over it
            write_squashfs(self.members, made, self.packing, mtime=self.mtime, advance=task.advance)
            return size_and_digest(made)

    def _folder(self) -> tuple[int, str]:
        with (
            self._task(self._content) as task,
            new_folder(self.path, force=self.force) as root,
        ):
            place_members(self.members, root, mtime=self.mtime, advance=task.advance)
        return self._content, ""

    @property
    def _content(self) -> int:
        return sum(entry.size for entry in self.members)

    def _task(self, total: int) -> AbstractContextManager[Task]:
        return self.progress.task(f"write {self.path.name}", total=total)

    @contextmanager
    def _seekable(self) -> Iterator[BinaryIO]:
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path} is no regular file, which a {self.packing.format} archive needs",
                hint="choose another name, or a tar format, which can be written to a pipe",
            )
        with atomic_file(self.path) as out:
            yield out


@contextmanager
def _compressor(out: Writable, packing: Packing, size: int) -> Iterator[Writable]:
    codec, level = packing.codec, packing.effective_level
    if codec == "xz" or codec == "bzip2":
        opened = block_writer(out, codec, level, packing.workers)
    else:
        opened = Compression(codec, level, packing.workers).writer(out, size)
    with opened as packer:
        yield packer


def _check_header(first: bytes, final: bytes) -> None:
    if len(first) != len(final) or len(final) > MAX_HEADER:
        raise ArchiveError("the installer's script changed its length or is too long")


def _check_line(path: Path, offset: int, digest: str) -> None:
    """Make sure that what is about to get its name can be read again."""
    with path.open("rb") as stream:
        found, payload = find_payload(stream, path.name)
    if (found, payload.sha256) != (offset, digest):
        raise ArchiveError("the installer's script does not tell where its payload lies")
