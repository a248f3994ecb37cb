"""The file system that the layers of an image make together.

Rules: OCI image-spec v1.1, layer.md ('Applying Changesets', 'Whiteouts'): a file
``.wh.NAME`` removes NAME of the layers below, ``.wh..wh..opq`` everything that
they have in its directory. A path that a layer puts below a symlink of a lower
one is shown where the layer says, not where the link leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from slimpack.errors import ImageError
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.image import Image
from slimpack.oci.layer import Layer
from slimpack.oci.toc import RESERVED
from slimpack.oci.untar import Member, TarReader
from slimpack.tree import Entry, directory_entry

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
MAX_FILES_BYTES = 256 << 20
_MAX_PATHS = 2_000_000
_MAX_TEXT = 256 << 20  # characters of all names and targets of an image, which are kept


@dataclass(frozen=True, slots=True)
class Placed:
    """A member that is visible in the image.

    layer: number, from the bottom, of the layer that holds its content; for a
        hard link that may be a lower layer than its own.
    target: for a hard link, the member in that layer that it is another name of,
        through all links between them; None when there is none.
    """

    member: Member
    layer: int
    target: Member | None = None

    @property
    def source(self) -> Member | None:
        """The member that holds the content: itself, or what a hard link leads to."""
        return self.target if self.member.kind == "hardlink" else self.member


def iter_layer_members(
    layer: Layer, *, limit: int = MAX_UNPACKED
) -> Iterator[tuple[Member, Callable[[int], bytes]]]:
    """Yield each member of a layer and a function that reads from its content.

    Without those of its table of contents (`slimpack.oci.toc.RESERVED`), which are no files
    of the image.

    The function is of use until the next member is taken. Taking the last one
    has verified the layer. Raises ImageError for damaged or malformed layers and
    after `limit` bytes.
    """
    with layer.open_tar(limit=limit) as tar:
        reader = TarReader(tar, f"layer {layer.digest}")
        for member in reader:
            if member.path not in RESERVED:
                yield member, reader.read
        reader.drain()


def layer_members(layer: Layer) -> list[Member]:
    """Return the members of a layer, which is read and verified for that."""
    members = []
    text = 0
    for member, _ in iter_layer_members(layer):
        members.append(member)
        text += len(member.name) + len(member.link)
        if len(members) > _MAX_PATHS:
            raise ImageError(f"layer {layer.digest} has more than {_MAX_PATHS} members")
        _check_text(text)
    return members


def merged_view(
    image: Image, members_of: Callable[[Layer], list[Member]] = layer_members
) -> dict[str, Placed]:
    """Return path -> what is there, for all paths of the image, sorted; reads every layer once.

    members_of: instead of `layer_members`, from somebody who knows some of them.
    """
    view = _View()
    text = 0
    for number, layer in enumerate(image.layers):
        members = members_of(layer)
        text += sum(len(member.name) + len(member.link) for member in members)
        _check_text(text)
        view.apply(number, members)
    return dict(sorted(view.paths.items()))


def _check_text(text: int) -> None:
    """Raise ImageError for more characters of names and targets than memory should hold."""
    if text > _MAX_TEXT:
        raise ImageError(f"the image has names of more than {_MAX_TEXT >> 20} MiB")


def read_files(
    image: Image,
    wanted: Callable[[str], bool],
    *,
    limit: int = MAX_FILES_BYTES,
    view: Mapping[str, Placed] | None = None,
) -> dict[str, bytes]:
    """Return the content of the visible regular files whose path is `wanted`.

    Hard links count as files; symlinks are not followed. view: a `merged_view`
    of the image that is at hand already. Raises ImageError when the files have
    more than `limit` bytes together, and as `iter_layer_members` does.
    """
    view = merged_view(image) if view is None else view
    sources: dict[tuple[int, int], list[str]] = {}
    for path, placed in view.items():
        source = placed.source
        if source is not None and source.kind == "file" and wanted(path):
            sources.setdefault((placed.layer, source.offset), []).append(path)
    total = 0
    found: dict[str, bytes] = {}
    for number in sorted({layer for layer, _ in sources}):
        for member, read in iter_layer_members(image.layers[number]):
            paths = sources.get((number, member.offset), [])
            if not paths:
                continue
            total += member.size
            if total > limit:
                raise ImageError(f"the files to read have more than {limit} bytes")
            found.update(dict.fromkeys(paths, read(member.size)))
    return dict(sorted(found.items()))


def base_directories(view: Mapping[str, Placed], paths: Iterable[str]) -> list[Entry]:
    """Return the directories of a base that `paths` lie in, as entries that keep their mode.

    Give them to `plan_layers`, so that a layer above does not reset ``tmp`` to
    0755. Raises ImageError when a path would go through a symlink or a file of
    the base, which a layer would replace by a directory.
    """
    found: dict[str, Entry] = {}
    seen: set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in seen:
            seen.add(above)
            placed = view.get(above)
            if placed is not None and placed.member.kind != "directory":
                raise ImageError(
                    f"{path} would lie below /{above}, which is a {placed.member.kind} in the base",
                    hint=f"choose another place, or where /{above} leads to",
                )
            if placed is not None:
                member = placed.member
                found[above] = directory_entry(
                    above, mode=member.mode, uid=member.uid, gid=member.gid
                )
            above = above.rpartition("/")[0]
    return [found[path] for path in sorted(found)]


class _View:
    """Paths that are visible, and for each directory the names in it."""

    def __init__(self) -> None:
        self.paths: dict[str, Placed] = {}
        self._names: dict[str, set[str]] = {}

    def apply(self, layer: int, members: list[Member]) -> None:
        """Lay the members of one layer over what is there."""
        for member in members:  # first what the layer removes from below, wherever it says so
            directory, _, name = member.path.rpartition("/")
            if name == OPAQUE:
                self._clear(directory)
            elif name.startswith(WHITEOUT):
                hidden = name.removeprefix(WHITEOUT)
                if hidden in ("", ".", ".."):
                    raise ImageError(f"the whiteout {member.path[:200]!r} hides nothing")
                self._remove(f"{directory}/{hidden}" if directory else hidden)
        for member in members:
            if member.path and not member.path.rpartition("/")[2].startswith(WHITEOUT):
                self._place(member, layer)
        if len(self.paths) > _MAX_PATHS:
            raise ImageError(f"the image has more than {_MAX_PATHS} paths")

    def _place(self, member: Member, layer: int) -> None:
        there = self.paths.get(member.path)
        if there is not None and member.kind != "directory":
            self._remove(member.path)
        path = member.path
        while path:  # up to a directory that is known; archives need not list them
            path, _, name = path.rpartition("/")
            names = self._names.setdefault(path, set())
            if name in names:
                break
            names.add(name)
        target = None
        if member.kind == "hardlink" and member.link in self.paths:
            layer, target = self.paths[member.link].layer, self.paths[member.link].source
        self.paths[member.path] = Placed(member, layer, target)

    def _clear(self, directory: str) -> None:
        for name in self._names.pop(directory, set()):
            self._remove(f"{directory}/{name}" if directory else name)

    def _remove(self, path: str) -> None:
        waiting = [path]
        while waiting:
            gone = waiting.pop()
            self.paths.pop(gone, None)
            waiting += [f"{gone}/{name}" for name in self._names.pop(gone, set())]
        above, _, name = path.rpartition("/")
        self._names.get(above, set()).discard(name)
