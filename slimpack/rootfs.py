"""The root file system of an image, in a folder of this machine.

What is visible is decided from the names alone (`slimpack.oci.rootfs.merged_view`), and
every path whose parents are not all folders of the image is refused before
anything is written. So nothing that is written, read or opened here can lead
through a link that the image brought, wherever that points.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from slimpack.archive.folder import new_folder
from slimpack.archive.guard import allowed_bytes
from slimpack.archive.place import Owner, Site
from slimpack.errors import ImageError
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import CHUNK
from slimpack.oci.image import Image
from slimpack.oci.layer import Layer
from slimpack.oci.members import Listed
from slimpack.oci.rootfs import Placed, iter_layer_members, merged_view
from slimpack.oci.untar import Member
from slimpack.progress import SILENT, Progress, Task
from slimpack.tree import Entry, Kind, Tree, directory_entry, parents

View = Mapping[str, Placed]

_MAX_ID = (1 << 32) - 2  # the highest uid and gid of Linux; one more means "as it is"
_MAX_TIME = (1 << 32) - 1
_MAX_DEPTH = 128  # folders: whatever walks a tree holds a frame or a file for each
_MAX_TARGET = 4095  # bytes of a link's target: PATH_MAX without the final NUL
_OWNERS_OWN = {"file": 0o400, "directory": 0o700}


@dataclass(frozen=True)
class Unpacked:
    """What is there now.

    files: files and links, folders not counted. size: bytes of files, each content once.
    skipped: paths of devices, FIFOs and sockets, which are not made.
    """

    files: int
    size: int
    skipped: tuple[str, ...]


def unpack_image(
    image: Image,
    folder: Path,
    *,
    view: View | None = None,
    listed: Listed = MappingProxyType({}),
    max_bytes: int = MAX_UNPACKED,
    progress: Progress = SILENT,
) -> Unpacked:
    """Write the root file system of `image` to `folder`, which is new or empty.

    Files, folders and links get the mode of the image without setuid and setgid bits,
    and its times; as root also its owners. Anybody else owns all of it, and may read
    it and remove it whatever its mode says. Links keep their targets, which may lead
    out of `folder` for whoever does not have it as root. `folder` appears when all is
    well, otherwise nothing does. Memory does not depend on the size of files.

    view: a `merged_view` of the image that is at hand already.
    listed: digest of a layer -> its members as somebody has told for `view`, who did not read
        them: they are compared with those that are there.
    max_bytes: of all files together; images that grow more than 250-fold stop at 1 GiB.
    Raises ImageError for layers that are damaged, malformed, unsafe or too large;
    InputError for a `folder` that is in the way; SlimpackError for a disk that is full
    or refuses.
    """
    view = merged_view(image) if view is None else view
    contents = checked_contents(view, allowed_bytes(image.size, max_bytes))
    size = sum(content.size for content in contents.values())
    with (
        progress.task("unpack image", total=size) as task,
        new_folder(folder, durable=False) as root,
        _named(view),
    ):
        site = Site(root)
        _make_folders_and_links(site, view)
        told = {n for n, layer in enumerate(image.layers) if layer.digest in listed}
        for number in sorted({layer for layer, _ in contents} | told):
            layer = image.layers[number]
            for member, read in _compared(layer, listed.get(layer.digest)):
                content = contents.pop((number, member.offset), None)
                if content is not None:
                    _make_file(site, member, content.paths, read, task)
        if contents:
            lost = next(iter(contents.values())).paths[0]
            raise ImageError(f"no layer holds /{lost}, which the view of the image shows")
        site.finish()
    return Unpacked(
        files=sum(shown(placed).kind in ("file", "symlink") for placed in view.values()),
        size=size,
        skipped=tuple(path for path, placed in view.items() if shown(placed).kind == "other"),
    )


def tree_of(view: View, folder: Path) -> Tree:
    """Return the files of an image, unpacked from `view` to `folder`, as a `Tree`.

    Modes are those of the image, setuid bits included, and so are uid and gid; owner
    is "". Hard links are files. Devices, FIFOs and sockets are left out. Contents are
    read from `folder` when an entry is opened; an OSError then is the disk's.
    Raises ImageError for a view that `unpack_image` would refuse.
    """
    _check(view)
    place = str(folder)
    entries = (_entry(path, shown(placed), place) for path, placed in view.items())
    return Tree(entry for entry in entries if entry is not None)


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of a file, and the paths that show it, sorted."""

    size: int
    paths: list[str]


def checked_contents(view: View, limit: int) -> dict[tuple[int, int], Content]:
    """Return (layer, offset of the member) -> a content, for each content that is visible.

    limit: bytes of all together. Raises ImageError for more, and for a view with what no
    file system can hold, or what only a link would lead to.
    """
    _check(view)
    found: dict[tuple[int, int], Content] = {}
    for path, placed in view.items():
        member = shown(placed)
        if member.kind == "file":
            key = placed.layer, member.offset
            found.setdefault(key, Content(member.size, [])).paths.append(path)
    size = sum(content.size for content in found.values())
    if size > limit:
        raise ImageError(
            f"the image unpacks to {size} bytes, more than the {limit} allowed",
            hint="this looks like a decompression bomb",
        )
    return found


def shown(placed: Placed) -> Member:
    """Return the member that decides what is at a path: a hard link is what it leads to."""
    member, source = placed.member, placed.source
    if source is None or (source.kind == "directory") != (member.kind == "directory"):
        raise _refusal(member.path, f"is a hard link to {member.link[:200]!r}, which is no file")
    return source


def _check(view: View) -> None:
    """Raise ImageError for what cannot be made, or not without leading through a link."""
    folders = {""}
    for path, placed in view.items():
        member = shown(placed)
        above = path.rpartition("/")[0]
        if above not in folders:
            _check_above(path, view)
            folders.add(above)
        if "\0" in member.link or len(os.fsencode(member.link)) > _MAX_TARGET:
            raise _refusal(path, "is a link whose target is no path")
        if member.kind == "symlink" and not member.link:
            raise _refusal(path, "is a link to nothing")
        if max(member.uid, member.gid) > _MAX_ID:
            raise _refusal(path, f"belongs to {member.uid}:{member.gid}, which cannot be")


def _check_above(path: str, view: View) -> None:
    above_it = parents(path)
    if len(above_it) > _MAX_DEPTH:
        raise _refusal(path, f"lies more than {_MAX_DEPTH} folders deep")
    for above in above_it:
        placed = view.get(above)
        if placed is not None and placed.member.kind != "directory":
            raise _refusal(
                path,
                f"lies below /{above[:200]}, a {placed.member.kind}; "
                "container engines do not agree on what that means",
            )


def _compared(
    layer: Layer, members: Sequence[Member] | None
) -> Iterator[tuple[Member, Callable[[int], bytes]]]:
    """Yield what `iter_layer_members` does; raise ImageError unless it is `members`, if given."""
    wrong = ImageError(f"layer {layer.digest} does not hold what it was made of")
    number = 0
    for number, (member, read) in enumerate(iter_layer_members(layer), 1):
        if members is not None and (number > len(members) or member != members[number - 1]):
            raise wrong
        yield member, read
    if members is not None and number != len(members):
        raise wrong


def _make_folders_and_links(site: Site, view: View) -> None:
    made = {""}
    for path, placed in view.items():  # sorted: what is above comes first
        for above in parents(path) if path.rpartition("/")[0] not in made else ():
            if above not in made:  # archives need not list them
                site.folder(above, owner=_root(), mtime=0)
                made.add(above)
        member = shown(placed)
        if member.kind == "directory":
            site.folder(path, mode=_mode(member), owner=_owner(member), mtime=time_of(member))
            made.add(path)
        elif member.kind == "symlink":
            site.symlink(path, member.link, mtime=time_of(member), owner=_owner(member))


def _make_file(
    site: Site, member: Member, paths: list[str], read: Callable[[int], bytes], task: Task
) -> None:
    def pieces() -> Iterator[bytes]:
        while data := read(CHUNK):
            yield data
            task.advance(len(data))

    first, *others = paths
    site.file(first, pieces(), mode=_mode(member), mtime=time_of(member), owner=_owner(member))
    for path in others:
        site.hardlink(path, first)


def _mode(member: Member) -> int:
    own = 0 if os.geteuid() == 0 else _OWNERS_OWN[member.kind]
    return member.mode & 0o1777 | own


def _owner(member: Member) -> Owner | None:
    return (member.uid, member.gid) if os.geteuid() == 0 else None


def _root() -> Owner | None:
    return (0, 0) if os.geteuid() == 0 else None


def time_of(member: Member) -> int:
    """Return when a member was changed, as file systems can hold it."""
    return min(max(member.mtime, 0), _MAX_TIME)


def _entry(path: str, member: Member, folder: str) -> Entry | None:
    if member.kind == "directory":
        return directory_entry(path, mode=member.mode, uid=member.uid, gid=member.gid)
    if member.kind == "symlink":
        return Entry(path, Kind.SYMLINK, 0o777, link=member.link, uid=member.uid, gid=member.gid)
    if member.kind == "other":
        return None
    return Entry(
        path=path,
        kind=Kind.FILE,
        mode=member.mode,
        size=member.size,
        opener=_Unpacked(folder, path),
        uid=member.uid,
        gid=member.gid,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Unpacked:
    """Opens a file below a folder, as text: a `Path` takes longer than to open the file.

    There is one for each file: its place is put together late.
    """

    folder: str
    path: str

    def __call__(self) -> BinaryIO:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(f"{self.folder}/{self.path}", flags), "rb")


def _refusal(path: str, why: str) -> ImageError:
    return ImageError(f"/{path[:200]} of the image {why}", hint="the image is damaged or hostile")


@contextmanager
def _named(view: View) -> Iterator[None]:
    """Blame the image, not the disk, for names that Linux does not take."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise _refusal(max(view, key=len), "has a name that is too long") from error
