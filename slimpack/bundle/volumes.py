"""A bundle cut into volumes, for media with limits, and put together again while it is read.

``site.slimpack.tar`` becomes ``site.slimpack.tar.001``, ``.002`` and so on, beside
``site.slimpack.tar.volumes.json``, which has the size and the digest of each and of the whole.
Nothing is added to the bytes: ``cat`` of the volumes is the bundle.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from slimpack.errors import BundleError, ImageError, InputError
from slimpack.files import FileSlice
from slimpack.oci import jsontext
from slimpack.oci.digest import check_digest, sha256
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.source import FileMedium, Medium, Slice

SUFFIX = ".volumes.json"
MEDIA_TYPE = "application/vnd.slimpack.volumes.v1+json"
MAX_VOLUMES = 9999
_MAX_LIST = 4 << 20
_OWN = "listDigest"  # of the list without this key
_LIST = "bring the list again; `cat` of all volumes in their order is the bundle, too"


@dataclass(frozen=True)
class Volume:
    """One volume. name: of its file, beside the list. size: bytes. digest: sha256."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class VolumeList:
    """What the list says. digest, size: of the bundle that the volumes are."""

    digest: str
    size: int
    volumes: tuple[Volume, ...]

    def to_json(self) -> bytes:
        """Return the text of the list."""
        value: Object = {
            "schemaVersion": 1,
            "mediaType": MEDIA_TYPE,
            "digest": self.digest,
            "size": self.size,
            "volumes": [
                {"name": one.name, "size": one.size, "digest": one.digest} for one in self.volumes
            ],
        }
        return canonical({**value, _OWN: sha256(canonical(value))})


def list_path(path: Path) -> Path:
    """Return where the list of the volumes of the bundle `path` is."""
    return path.parent / f"{path.name}{SUFFIX}"  # "." has no name


def read_list(path: Path) -> VolumeList:
    """Read a list of volumes. Raises BundleError for anything but a sound one, OSError."""
    with path.open("rb") as stream:
        data = stream.read(_MAX_LIST + 1)
    what = str(path)
    if len(data) > _MAX_LIST:
        raise BundleError(f"{what} is too large for a list of volumes")
    try:
        value = jsontext.parse_object(data, what)
        own = value.pop(_OWN, None)
        if sha256(canonical(value)) != own or canonical({**value, _OWN: own}) != data:
            raise BundleError(f"{what} is damaged: it is not what its own digest names", hint=_LIST)
        if value.get("mediaType") != MEDIA_TYPE or value.get("schemaVersion") != 1:
            raise BundleError(f"{what} is not a list of volumes that this slimpack knows")
        items = jsontext.objects(value, "volumes", what)
        volumes = tuple(_volume(item, what) for item in items)
        listed = VolumeList(
            check_digest(value.get("digest"), what), jsontext.number(value, "size", what), volumes
        )
    except (ImageError, RecursionError) as error:
        said = error.message if isinstance(error, ImageError) else f"{what} is nested too deeply"
        raise BundleError(said, hint=_LIST) from error
    if not 1 <= len(volumes) <= MAX_VOLUMES or sum(one.size for one in volumes) != listed.size:
        raise BundleError(f"{what} lists volumes that do not add up to {listed.size} bytes")
    if len({one.name for one in volumes}) != len(volumes):
        raise BundleError(f"{what} lists a volume twice")
    return listed


def _volume(item: Object, what: str) -> Volume:
    name = jsontext.text(item, "name", what)
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise BundleError(f"{what} lists a volume that is not beside it: {name[:200]!r}")
    return Volume(name, jsontext.number(item, "size", what), check_digest(item.get("digest"), what))


@dataclass(frozen=True)
class Joined:
    """Several files one behind the other, as a medium. what: names it in messages."""

    what: str
    parts: tuple[FileMedium, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(part.size for part in self.parts)

    def slice(self, offset: int, size: int) -> Slice:
        """Open `size` bytes from `offset` on."""
        return _JoinedSlice(self.parts, offset, size)


class _JoinedSlice:
    def __init__(self, parts: tuple[FileMedium, ...], offset: int, size: int) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.size for part in parts))
        self._at = offset
        self._left = max(0, min(size, (self._ends or [0])[-1] - offset))
        self._open: tuple[int, FileSlice] | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, perhaps from several files."""
        wanted = self._left if size < 0 else min(size, self._left)
        found = []
        while wanted:
            data = self._current().read(wanted)
            if not data:  # a file that is shorter than it was
                break
            self._at += len(data)
            self._left -= len(data)
            wanted -= len(data)
            found.append(data)
        return b"".join(found)

    def skip(self, size: int) -> int:
        """Jump over up to `size` bytes; return how many there were."""
        size = min(size, self._left)
        self.close()
        self._at += size
        self._left -= size
        return size

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _current(self) -> FileSlice:
        number = bisect_right(self._ends, self._at)
        if self._open is None or self._open[0] != number:
            self.close()
            part = self._parts[number]
            begin = self._ends[number] - part.size
            self._open = (
                number,
                FileSlice(part.path, self._at - begin, self._ends[number] - self._at),
            )
        return self._open[1]


def open_medium(path: Path) -> Medium:
    """Open a bundle: a tar, or its volumes by their list or by the name of the tar.

    Volumes are there and have their sizes; their bytes are verified member by member as
    those of a tar are. Raises InputError when nothing is there, BundleError naming the
    volumes that are missing or have another size.
    """
    listed = path if path.name.endswith(SUFFIX) else list_path(path)
    if path.is_file() and path != listed:
        return FileMedium.of(path)
    if not listed.is_file():
        raise InputError(
            f"{path} does not exist", hint=f"give a bundle, or the list of its volumes (*{SUFFIX})"
        )
    parts = []
    wrong = []
    for volume in read_list(listed).volumes:
        place = listed.with_name(volume.name)
        if not place.is_file():
            wrong.append(f"{volume.name} is missing")
        elif place.stat().st_size != volume.size:
            wrong.append(f"{volume.name} has {place.stat().st_size} bytes instead of {volume.size}")
        else:
            parts.append(FileMedium(place, volume.size))
    if wrong:
        raise BundleError(
            f"{listed}: {len(wrong)} volumes cannot be used: " + "; ".join(wrong[:20]),
            hint="bring these volumes again; the others can stay",
        )
    return Joined(str(listed).removesuffix(SUFFIX), tuple(parts))
