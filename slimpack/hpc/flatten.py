"""All layers of an image as one tar, written while the layers are read.

Each file is passed on when its layer gives it, so neither memory nor the disk holds any.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from slimpack.archive.guard import allowed_bytes
from slimpack.errors import ImageError
from slimpack.hpc.scripts import lost, runtime_files
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import CHUNK, sha256
from slimpack.oci.image import Image
from slimpack.oci.layer import TAR, Layer
from slimpack.oci.rootfs import Placed, iter_layer_members, merged_view
from slimpack.oci.tar import BLOCK, END, tar_chunks, tar_header, with_parents
from slimpack.oci.untar import Member
from slimpack.rootfs import Content, checked_contents, shown, time_of
from slimpack.tree import Entry, Kind, directory_entry, hardlink_entry, parents, symlink_entry


@dataclass(frozen=True)
class Root:
    """The root file system of an image, with what Apptainer and enroot look for.

    image: the image and a layer of those files. view: of it. newest: the latest time of
    any file, in seconds since the epoch.
    """

    image: Image
    view: Mapping[str, Placed]
    newest: int
    notes: tuple[str, ...]


def root_of(image: Image) -> Root:
    """Decide what is visible; reads each layer once. Raises ImageError as `merged_view` does."""
    view = merged_view(image)
    newest = max((time_of(placed.member) for placed in view.values()), default=0)
    entries = runtime_files(image.config, view)
    layer = _layer(entries, newest)
    number = len(image.layers)
    whole = replace(image, layers=(*image.layers, layer), raw_config=b"", raw_manifest=b"")
    for member, _ in iter_layer_members(layer):
        view[member.path] = Placed(member, number)
    notes = list(lost(image.config, view))
    others = [path for path, placed in view.items() if shown(placed).kind == "other"]
    if others:
        notes.append(f"{len(others)} devices, pipes or sockets are left out, as /{others[0]}")
    return Root(whole, dict(sorted(view.items())), newest, tuple(notes))


def flat_tar(root: Root, *, advance: Callable[[int], object]) -> Iterator[bytes]:
    """Yield a tar of `root`, folders first, in pieces of 1 MiB or a little more.

    Everything belongs to root and nothing has setuid. advance: called with numbers of
    content bytes. Raises ImageError for what `slimpack.rootfs.unpack_image` refuses.
    """
    contents = checked_contents(root.view, allowed_bytes(root.image.size, MAX_UNPACKED))
    return _joined(_pieces(root, contents, advance))


def content_size(root: Root) -> int:
    """Return the bytes of all files, each content once; raise ImageError as `flat_tar` does."""
    contents = checked_contents(root.view, allowed_bytes(root.image.size, MAX_UNPACKED))
    return sum(content.size for content in contents.values())


def _layer(entries: list[Entry], mtime: int) -> Layer:
    data = b"".join(tar_chunks(with_parents(entries), mtime=mtime))
    digest = sha256(data)
    return Layer(TAR, digest, len(data), digest, lambda: io.BytesIO(data), len(data), "runtime")


def _pieces(
    root: Root, contents: dict[tuple[int, int], Content], advance: Callable[[int], object]
) -> Iterator[bytes]:
    yield from _folders_and_links(root)
    for number in sorted({layer for layer, _ in contents}):
        for member, read in iter_layer_members(root.image.layers[number]):
            content = contents.pop((number, member.offset), None)
            if content is None:
                continue
            first, *others = content.paths
            yield tar_header(_file(first, member), time_of(member))
            while data := read(CHUNK):
                yield data
                advance(len(data))
            yield bytes(-member.size % BLOCK)
            for path in others:
                yield tar_header(hardlink_entry(path, first, mode=_mode(member)), time_of(member))
    if contents:
        lost_path = next(iter(contents.values())).paths[0]
        raise ImageError(f"no layer holds /{lost_path}, which the view of the image shows")
    yield END


def _folders_and_links(root: Root) -> Iterator[bytes]:
    made = {""}
    for path, placed in root.view.items():  # sorted: what is above comes first
        for above in parents(path) if path.rpartition("/")[0] not in made else ():
            if above not in made:  # archives need not list them
                yield tar_header(directory_entry(above), 0)
                made.add(above)
        member = shown(placed)
        if member.kind == "directory":
            yield tar_header(directory_entry(path, mode=_mode(member)), time_of(member))
            made.add(path)
        elif member.kind == "symlink":
            yield tar_header(symlink_entry(path, member.link), time_of(member))


def _file(path: str, member: Member) -> Entry:
    # Its content comes from the layer: nobody opens it.
    return Entry(path, Kind.FILE, _mode(member), size=member.size, opener=io.BytesIO)


def _mode(member: Member) -> int:
    return member.mode & 0o1777


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
