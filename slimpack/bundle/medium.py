"""Where a bundle comes by from: a file, a pipe, standard input, or its volumes."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from slimpack.bundle.findings import Findings
from slimpack.bundle.passing import Passing, Piece, Range
from slimpack.bundle.volumes import SUFFIX, Volume, VolumeList, list_path, read_list
from slimpack.errors import BundleError, InputError, SlimpackError
from slimpack.oci.digest import CHUNK
from slimpack.oci.tar import Advance

_ALL = 1 << 62  # bytes, more than there are


@dataclass
class VolumeState:
    """A volume as it was found. begin: where its bytes are in the tar.

    found: bytes of the file, None when it is not there. digest: sha256 of all of them, ""
    when that was not computed.
    """

    volume: Volume
    path: Path
    begin: int
    found: int | None
    digest: str = ""

    @property
    def end(self) -> int:
        """Where the next volume begins in the tar."""
        return self.begin + self.volume.size

    @property
    def lost(self) -> Range:
        """Which bytes of the tar the file lacks."""
        return self.begin + min(self.found or 0, self.volume.size), self.end

    @property
    def whole(self) -> bool:
        """Whether it is what the list says, as far as that says anything."""
        return self.found == self.volume.size and self.digest == self.volume.digest


@dataclass
class Medium:
    """What comes by. total: bytes that it has, or must have; None for a pipe.

    sure: whether `total` is what the writer wrote, and not just what is there.
    """

    what: str
    source: Passing
    total: int | None
    sure: bool = False
    volumes: list[VolumeState] = field(default_factory=list)

    def drain(self) -> None:
        """Let all volumes pass to their end."""
        while self.volumes and self.source.skip(_ALL):
            pass

    def names(self, begin: int, end: int) -> tuple[str, ...]:
        """Return the volumes that hold bytes of the tar from `begin` to before `end`."""
        return tuple(
            one.volume.name
            for one in self.volumes
            if one.begin < max(end, begin + 1) and begin < one.end
        )


def stream_medium(stream: BinaryIO, what: str, advance: Advance) -> Medium:
    """Return an open stream as a medium."""
    return Medium(what, Passing(_pieces(stream, what, advance)), None)


def path_medium(path: Path, findings: Findings, advance: Advance) -> Medium:
    """Return a tar, a pipe, or volumes by their list or by the name of the tar.

    Volumes that are missing are findings. Raises InputError when nothing is there.
    """
    listed = path if path.name.endswith(SUFFIX) else list_path(path)
    try:
        mode = path.stat().st_mode if path != listed else 0
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder, not a bundle", hint="give the tar itself")
        if mode:
            total = path.stat().st_size if stat.S_ISREG(mode) else None
            return Medium(str(path), Passing(_file(path, advance)), total)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unreadable(str(path), error) from error
    try:
        volumes, sure = _listed(listed, path), True
    except SlimpackError as error:
        volumes, sure = _guessed(listed, error), False
        findings.add("list", error.message, listed.name)
    states = _states(volumes, listed)
    lost = [one.lost for one in states if one.lost[0] < one.lost[1]]
    source = Passing(_volumes(states, advance), lost)
    return Medium(str(listed).removesuffix(SUFFIX), source, volumes.size, sure, states)


def _listed(listed: Path, path: Path) -> VolumeList:
    if not listed.exists():
        hint = f"give a bundle, or the list of its volumes (*{SUFFIX})"
        missing = path if path != listed else listed
        raise InputError(f"{missing} does not exist", hint=hint)
    try:
        return read_list(listed)
    except OSError as error:
        raise _unreadable(str(listed), error) from error


def _guessed(listed: Path, error: SlimpackError) -> VolumeList:
    """Return the volumes that lie where a list should be; raise its error if there are none."""
    stem = f"{listed.name.removesuffix(SUFFIX)}."
    try:
        found = sorted(
            (int(number), path)
            for path in listed.parent.iterdir()
            if path.name.startswith(stem)
            and (number := path.name[len(stem) :]).isascii()
            and number.isdecimal()
            and len(number) < 6
            and path.is_file()
        )
    except OSError:
        found = []
    if not found:
        raise error
    volumes = tuple(Volume(path.name, path.stat().st_size, "") for _, path in found)
    return VolumeList("", sum(one.size for one in volumes), volumes)


def _states(volumes: VolumeList, listed: Path) -> list[VolumeState]:
    states = []
    begin = 0
    for volume in volumes.volumes:
        path = listed.with_name(volume.name)
        found = path.stat().st_size if path.is_file() else None
        states.append(VolumeState(volume, path, begin, found))
        begin += volume.size
    return states


def _file(path: Path, advance: Advance) -> Iterator[bytes]:
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(str(path), error) from error
    with stream:
        yield from _pieces(stream, str(path), advance)


def _pieces(stream: IO[bytes], what: str, advance: Advance) -> Iterator[bytes]:
    at = 0
    while True:
        try:
            data = stream.read(CHUNK)
        except OSError as error:
            raise _unreadable(what, error, at) from error
        if not data:
            return
        at += len(data)
        advance(len(data))
        yield data


def _volumes(states: list[VolumeState], advance: Advance) -> Iterator[Piece]:
    """Yield the bytes of volumes, hashing each as a whole in a thread of its own."""
    sizes = {one.volume.size for one in states}
    with ThreadPoolExecutor(1) as pool:
        for one in states:
            # One of another volume's size may be that, under a wrong name.
            if one.found in sizes:
                yield from _volume(one, pool, advance)
            elif one.found is not None:
                yield from _upto(_file(one.path, advance), one.volume.size)
            begin, end = one.lost
            if begin < end:
                yield end - begin


def _volume(one: VolumeState, pool: ThreadPoolExecutor, advance: Advance) -> Iterator[bytes]:
    sha = hashlib.sha256()
    busy: Future[None] | None = None

    def hashed() -> Iterator[bytes]:
        nonlocal busy
        for data in _file(one.path, advance):
            if busy is not None:
                busy.result()
            busy = pool.submit(sha.update, data)
            yield data

    passing = hashed()
    yield from _upto(passing, one.volume.size)
    for _ in passing:
        pass
    if busy is not None:
        busy.result()
    one.digest = f"sha256:{sha.hexdigest()}"


def _upto(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield `size` bytes of `pieces` at most, and take no piece behind them."""
    while size and (data := next(pieces, b"")):
        yield data[:size]
        size -= min(size, len(data))


def _unreadable(what: str, error: OSError, at: int = 0) -> SlimpackError:
    said = error.strerror or str(error)
    if error.errno == errno.EIO:
        return BundleError(
            f"cannot read {what} from byte {at} on: {said}",
            hint="the medium is damaged: bring this file again",
        )
    return InputError(f"cannot read {what}: {said}")
