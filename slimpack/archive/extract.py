"""Unpacking an archive that somebody else made, into a new folder, safely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from slimpack.archive.folder import new_folder
from slimpack.archive.formats import Codec
from slimpack.archive.guard import Guard, allowed_bytes
from slimpack.archive.items import Items
from slimpack.archive.selfextract import Payload, find_payload
from slimpack.archive.squashreader import squashfs_items
from slimpack.archive.tarstream import tar_items
from slimpack.archive.zipreader import zip_items
from slimpack.errors import ArchiveError, ImageError, InputError
from slimpack.files import FileSlice
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import ByteStream, VerifyingReader, chunks
from slimpack.oci.untar import MAX_MEMBERS
from slimpack.progress import Progress, Task

Content = Codec | Literal["zip", "squashfs", "sh"]

_MAGIC: tuple[tuple[bytes, Content], ...] = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),  # without members
    (b"hsqs", "squashfs"),
    (b"#!", "sh"),
)
_TAR_MAGIC = slice(257, 262)
_HEAD = 512
_DEEPEST = 3


@dataclass(frozen=True)
class Extracted:
    """What came out: number of files and links, folders not counted; bytes of files."""

    files: int
    size: int


def extract(
    archive: Path,
    dest: Path,
    *,
    max_bytes: int = MAX_UNPACKED,
    max_members: int = MAX_MEMBERS,
    progress: Progress,
) -> Extracted:
    """Unpack `archive`, whatever its name, into `dest`, a folder that is new or empty.

    Tars (plain, gzip, zstd, xz, bzip2), zip, squashfs and slimpack's own ``.sh`` are
    told by their first bytes. Files get mode 0755 or 0644 and their time as in the
    archive, since timestamp ``.pyc`` depend on it; folders get 0755.

    Members come into a private folder beside `dest`, with a register of what was
    made (`Guard`), and `dest` appears when all is well; otherwise nothing does.
    Archives inside are files like others. max_bytes: of all files together (and of a
    tar with its headers); archives that grow more than 250-fold stop at 1 GiB.

    Raises InputError for an archive that cannot be opened and a `dest` that is in the
    way; ArchiveError, naming the archive and the member, for what is damaged, cut
    off, unsafe or too large; SlimpackError for a disk that is full or refuses.
    """
    with _opened(archive) as stream, _as_archive_error():
        kind = sniff(stream, str(archive))
        total = stream.seek(0, 2)
        limit = allowed_bytes(total, max_bytes)
        with (
            progress.task(f"unpack {archive.name}", total=total) as task,
            new_folder(dest, durable=False) as root,
        ):
            guard = Guard(root, str(archive), max_bytes=limit, max_members=max_members)
            guard.take(_Source(archive, stream, task, limit, max_members).items(kind))
    return Extracted(guard.files, guard.size)


def sniff(stream: BinaryIO, what: str) -> Content:
    """Tell what an archive is by its first bytes; raise ArchiveError if it is none."""
    stream.seek(0)
    head = stream.read(_HEAD)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[_TAR_MAGIC] == b"ustar" or head == bytes(_HEAD):  # zeros: without members
        return "none"
    raise ArchiveError(
        f"{what} is not an archive that slimpack can read",
        hint="tar (plain, gzip, zstd, xz, bzip2), zip, squashfs and slimpack's .sh are known",
    )


def find_environment(root: Path) -> Path:
    """Return the folder at or below `root` that holds ``conda-meta``.

    conda-pack's ``--arcroot`` puts an environment deeper; three levels are looked
    at, and links are not followed. Raises ArchiveError for none and for several.
    """
    found: list[Path] = []
    level = [root]
    for _ in range(_DEEPEST + 1):
        found += [folder for folder in level if _real_folder(folder / "conda-meta")]
        level = [
            inner
            for folder in level
            if folder not in found  # environments in an environment (envs/) are its own
            for inner in sorted(folder.iterdir())
            if _real_folder(inner)
        ]
    if not found:
        raise ArchiveError(
            "there is no environment in the archive: no folder holds conda-meta",
            hint="give an archive of a conda environment, as slimpack pack or conda-pack make it",
        )
    if len(found) > 1:
        names = ", ".join(ascii(str(path.relative_to(root))) for path in found[:5])
        raise ArchiveError(
            f"there are several environments in the archive: {names}",
            hint="make an archive of one of them",
        )
    return found[0]


def _real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@dataclass(frozen=True)
class _Source:
    archive: Path
    stream: BinaryIO
    task: Task
    limit: int
    max_members: int

    def items(self, kind: Content) -> Items:
        what = str(self.archive)
        stream = cast("BinaryIO", _ToldFile(self.stream, what, self.task))
        if kind == "zip":
            return zip_items(stream, what, max_members=self.max_members)
        if kind == "squashfs":
            return squashfs_items(stream, what, max_members=self.max_members)
        if kind == "sh":
            return self._payload(*find_payload(self.stream, what))
        stream.seek(0)
        return tar_items(stream, kind, what, limit=self.limit)

    def _payload(self, offset: int, payload: Payload) -> Items:
        what = f"{self.archive} (its payload)"
        part = FileSlice(self.archive, offset, payload.size)
        told = _Told(part, str(self.archive), self.task)
        checked = VerifyingReader(told, f"sha256:{payload.sha256}", payload.size, what)
        codec = cast("Codec", payload.compression)
        with checked:
            yield from tar_items(checked, codec, what, limit=self.limit)
            for _ in chunks(checked):  # so that it gets to its check
                pass


class _Told:
    """Reads of the archive: their bytes are told, and their errors are the archive's."""

    def __init__(self, stream: ByteStream, what: str, task: Task) -> None:
        self._stream = stream
        self._what = what
        self._task = task

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise ArchiveError(f"cannot read {self._what}: {error.strerror or error}") from error
        self._task.advance(len(data))
        return data

    def close(self) -> None:
        self._stream.close()


class _ToldFile(_Told):
    def __init__(self, stream: BinaryIO, what: str, task: Task) -> None:
        super().__init__(stream, what, task)
        self._file = stream

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)


@contextmanager
def _opened(archive: Path) -> Iterator[BinaryIO]:
    if archive.exists() and not archive.is_file():
        raise InputError(
            f"{archive} is no regular file", hint="give an archive that was saved to a file"
        )
    try:
        stream = archive.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {archive}: {error.strerror}") from error
    with stream:
        yield stream


@contextmanager
def _as_archive_error() -> Iterator[None]:
    try:
        yield
    except ImageError as error:  # of the tar reader, which images share
        raise ArchiveError(error.message, hint=error.hint, details=error.details) from error
