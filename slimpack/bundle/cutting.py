"""Writing a bundle in volumes (`slimpack.bundle.volumes` says what they are)."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from slimpack.bundle.volumes import MAX_VOLUMES, Volume, VolumeList, list_path, read_list
from slimpack.errors import BundleError, InputError
from slimpack.files import atomic_file, explained, temporary_name
from slimpack.oci.digest import HashingWriter

MIN_VOLUME = 64 << 10


def new_volumes(path: Path, volume_size: int, total: int) -> VolumeWriter:
    """Return a writer of `total` bytes in volumes of `volume_size` bytes.

    Raises InputError for a size that makes too many of them.
    """
    if volume_size < MIN_VOLUME:
        raise InputError(
            f"a volume of {volume_size} bytes is too small", hint=f"at least {MIN_VOLUME} bytes"
        )
    count = max(1, -(-total // volume_size))
    if count > MAX_VOLUMES:
        raise InputError(
            f"{total} bytes in volumes of {volume_size} are {count} volumes, more than "
            f"{MAX_VOLUMES}",
            hint="choose a larger --volume-size",
        )
    digits = max(3, len(str(count)))  # so that a shell's FILE.tar.[0-9]* has them in order
    names = [f"{path.name}.{number:0{digits}d}" for number in range(1, count + 1)]
    return VolumeWriter(path, names, volume_size)


class VolumeWriter:
    """Takes the bytes of a bundle; the volumes and their list appear together at the end."""

    def __init__(self, path: Path, names: Sequence[str], volume_size: int) -> None:
        self._path = path
        self._names = names
        self._volume_size = volume_size
        self._done: list[tuple[Path, Volume]] = []
        self._whole = HashingWriter(_Nothing())
        self._current: tuple[BinaryIO, HashingWriter] | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The list and all volumes."""
        return (list_path(self._path), *(self._path.with_name(name) for name in self._names))

    def __enter__(self) -> VolumeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with explained(self._path):
                self._finish_volume()
                if error is None:
                    self._publish()
        finally:
            for temporary, _ in self._done:
                temporary.unlink(missing_ok=True)

    def write(self, data: bytes, /) -> int:
        """Take `data`."""
        with explained(self._path):
            self._whole.write(data)
            view = memoryview(data)
            while view:
                _, sink = self._current or self._begin_volume()
                piece = view[: self._volume_size - sink.size]
                sink.write(data if len(piece) == len(data) else bytes(piece))
                view = view[len(piece) :]
                if sink.size == self._volume_size:
                    self._finish_volume()
        return len(data)

    def _begin_volume(self) -> tuple[BinaryIO, HashingWriter]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stream = temporary_name(self._path).open("xb")
        self._done.append((Path(stream.name), Volume("", 0, "")))
        self._current = (stream, HashingWriter(stream))
        return self._current

    def _finish_volume(self) -> None:
        if self._current is None:
            return
        stream, sink = self._current
        self._current = None
        with stream:
            stream.flush()
            os.fsync(stream.fileno())
        name = self._names[len(self._done) - 1]
        self._done[-1] = (self._done[-1][0], Volume(name, sink.size, sink.digest))

    def _publish(self) -> None:
        """Give the volumes their names, and the list last: it says that all are there."""
        listed = VolumeList(
            self._whole.digest, self._whole.size, tuple(volume for _, volume in self._done)
        )
        forget_volumes(self._path, keep=self._names)
        for temporary, volume in self._done:
            temporary.replace(self._path.with_name(volume.name))
        with atomic_file(list_path(self._path)) as out:
            out.write(listed.to_json())
        if self._path.is_file():  # else it would be taken instead of the volumes
            self._path.unlink()


def forget_volumes(path: Path, keep: Collection[str] = ()) -> None:
    """Remove the list of volumes of an older bundle `path`, and those that are not in `keep`.

    Whoever puts them together again with ``cat`` must not get some of another bundle. Of
    what the list names, only files that are called as volumes are touched.
    """
    listed = list_path(path)
    names: list[str] = []
    with suppress(BundleError, OSError):
        names = [volume.name for volume in read_list(listed).volumes]
    with explained(listed):
        listed.unlink(missing_ok=True)
        for name in names:
            ours = re.fullmatch(rf"{re.escape(path.name)}\.[0-9]{{3,4}}", name)
            if ours and name not in keep:
                path.with_name(name).unlink(missing_ok=True)


class _Nothing:
    def write(self, data: bytes, /) -> None:
        """Forget `data`."""
