"""The container of a ``.conda`` package: a zip of two ``.tar.zst``, byte for byte repeatable."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard


def add_file(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a small file, with zip's earliest date."""
    archive.writestr(zipfile.ZipInfo(name), data)


def add_tar(
    archive: zipfile.ZipFile,
    name: str,
    members: Iterable[tuple[str, Path | bytes]],
    mtime: int,
    level: int,
) -> None:
    """Stream a ``.tar.zst`` into the zip, so that memory does not grow with the package."""
    # Multithreaded zstd gives other bytes than single-threaded zstd, but the same for any number
    # of workers: always at least one.
    compressor = zstandard.ZstdCompressor(level=level, threads=2)
    # force_zip64: the size is not known beforehand.
    with (
        archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member,
        compressor.stream_writer(member, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, source in members:
            _add_member(tar, path, source, mtime)


def _add_member(tar: tarfile.TarFile, name: str, source: Path | bytes, mtime: int) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = mtime
    info.uname = info.gname = "root"
    if isinstance(source, bytes):
        info.size, info.mode = len(source), 0o644
        tar.addfile(info, io.BytesIO(source))
        return
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(source.readlink()), 0o777
        tar.addfile(info)
        return
    # Only the executable bit is kept: what else the umask of this machine says is noise.
    info.size, info.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    with source.open("rb") as data:
        tar.addfile(info, data)


def read_info(package: Path) -> dict[str, bytes]:
    """Read the ``info/`` files of a ``.conda`` package, by path."""
    return dict(_read_members(package, "info-"))


def read_files(package: Path) -> dict[str, bytes]:
    """Read the regular files of a ``.conda`` package, by path."""
    return dict(_read_members(package, "pkg-"))


def _read_members(package: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(package) as archive:
        (name,) = [n for n in archive.namelist() if n.startswith(prefix)]
        with archive.open(name) as packed:
            stream: IO[Any] = zstandard.ZstdDecompressor().stream_reader(packed)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    data = tar.extractfile(member) if member.isfile() else None
                    if data is not None:
                        yield member.name, data.read()
