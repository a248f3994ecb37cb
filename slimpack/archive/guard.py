"""The rules that members of a stranger's archive must keep, one by one and together.

What was created is kept in a register of our own, by lexical path; nothing is
looked up on the disk. The folder is new, private, and has a hidden random name, so
that the register is all there is: a path whose every parent is registered as a
folder cannot lead through a link.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimpack.archive.items import Item, Items
from slimpack.archive.links import LinkError, Links
from slimpack.archive.place import Site
from slimpack.errors import ArchiveError
from slimpack.oci.untar import MemberKind
from slimpack.tree import parents

_MAX_PATH = 4095  # bytes: Linux' PATH_MAX without the final NUL
_MAX_NAME = 255  # bytes: NAME_MAX
_MAX_DEPTH = 128  # folders: whatever walks a tree holds a file or a frame for each
_MAX_TEXT = 256 << 20  # characters of all paths and targets, which are kept to the end
_MAX_TIME = (1 << 32) - 1  # what a .pyc's record of its source's time can hold
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 250  # environments compress 3 to 10 times


def allowed_bytes(archive_size: int, max_bytes: int) -> int:
    """Return how many bytes an archive of `archive_size` may unpack to.

    `max_bytes` at most, and from 1 GiB on no more than 250 times its own size.
    """
    return min(max_bytes, max(_BOMB_BYTES, _BOMB_RATIO * archive_size))


class Guard:
    """Makes members below `root`, an empty folder of our own, or refuses them.

    what: names the archive in messages. Files get mode 0755 if their owner may execute
    them, else 0644, and folders 0755: setuid, setgid and sticky bits, and
    write permission for others, are gone. Every refusal is an ArchiveError.
    """

    def __init__(self, root: Path, what: str, *, max_bytes: int, max_members: int) -> None:
        self._site = Site(root)
        self._what = what
        self._max_bytes = max_bytes
        self._max_members = max_members
        self._kinds: dict[str, MemberKind] = {}
        self._implied: set[str] = set()
        self._links: dict[str, str] = {}
        self._text = 0
        self.size = 0
        self.files = 0

    def take(self, items: Items) -> None:
        """Make all of `items`, then check where their links lead."""
        for item, content in items:
            self._add(item, content)
        links = Links(self._links)
        for path, target in self._links.items():
            try:
                links.follow(path)
            except LinkError as error:
                raise self._refusal(path, f"is a link to {target[:200]!r}: {error}") from None
        self._site.finish()

    def _add(self, item: Item, content: Iterator[bytes]) -> None:
        path = self._path(item)
        if not path:
            return
        earlier = self._earlier(item) if item.kind == "hardlink" else ""
        self._claim(path, item.kind)
        mtime = min(max(item.mtime, 0), _MAX_TIME)
        if item.kind == "file":
            mode = 0o755 if item.mode & 0o100 else 0o644
            self._site.file(path, self._counted(item, content), mode=mode, mtime=mtime)
        elif item.kind == "symlink":
            self._site.symlink(path, self._target(item), mtime=mtime)
            self._links[path] = item.link
        elif item.kind == "hardlink":
            self._site.hardlink(path, earlier)
        self.files += item.kind != "directory"

    def _path(self, item: Item) -> str:
        """Return the normal path of a member, "" for the root itself."""
        name = item.name
        self._check_text(name, name)
        if not name:
            raise ArchiveError(f"{self._what} has a member without a name")
        if name.startswith("/"):
            raise self._refusal(name, "has an absolute path")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refusal(name, "leads out of the archive")
        if any(len(part.encode()) > _MAX_NAME for part in parts):
            raise self._refusal(name, "has a name that is too long")
        if len(parts) > _MAX_DEPTH:
            raise self._refusal(name, f"lies more than {_MAX_DEPTH} folders deep")
        if not parts and item.kind != "directory":
            raise self._refusal(name, "is in the place of the root folder")
        return "/".join(parts)

    def _check_text(self, text: str, name: str) -> None:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise self._refusal(name, "has a name that is not UTF-8") from None
        if b"\0" in data:
            raise self._refusal(name, "has a NUL in its name")
        if len(data) > _MAX_PATH:
            raise self._refusal(name, f"has a path that is too long ({len(data)} bytes)")

    def _claim(self, path: str, kind: MemberKind) -> None:
        if kind == "other":
            raise self._refusal(path, "is a device, a FIFO or a socket")
        direct = path.rpartition("/")[0]
        for above in parents(path) if self._kinds.get(direct) != "directory" else ():
            found = self._kinds.get(above)
            if found is None:
                self._register(above, "directory")
                self._implied.add(above)
            elif found != "directory":
                raise self._refusal(path, f"lies below {above[:200]!r}, a {found}")
        if kind == "directory" and path in self._implied:
            self._implied.remove(path)  # its own member came late
        elif path in self._kinds:
            raise self._refusal(path, "is there twice")
        else:
            self._register(path, kind)

    def _register(self, path: str, kind: MemberKind) -> None:
        if len(self._kinds) >= self._max_members:
            raise ArchiveError(f"{self._what} has more than {self._max_members} members")
        self._keep(path)
        self._kinds[path] = kind
        if kind == "directory":
            self._site.folder(path)

    def _keep(self, text: str) -> None:
        self._text += len(text)
        if self._text > _MAX_TEXT:
            raise ArchiveError(
                f"{self._what} has names of more than {_MAX_TEXT >> 20} MiB",
                hint="this looks like a decompression bomb",
            )

    def _target(self, item: Item) -> str:
        self._check_text(item.link, item.name)
        if not item.link or item.link.startswith("/"):
            raise self._refusal(item.name, f"is a link to {item.link[:200]!r}, not a relative path")
        self._keep(item.link)
        return item.link

    def _earlier(self, item: Item) -> str:
        self._check_text(item.link, item.name)
        target = "/".join(part for part in item.link.split("/") if part not in ("", "."))
        if item.link.startswith("/") or self._kinds.get(target) not in ("file", "hardlink"):
            raise self._refusal(
                item.name, f"is a hard link to {item.link[:200]!r}, no file that came before it"
            )
        return target

    def _counted(self, item: Item, content: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for data in content:
            size += len(data)
            self.size += len(data)
            if self.size > self._max_bytes:
                raise ArchiveError(
                    f"{self._what} unpacks to more than the {self._max_bytes} bytes allowed",
                    hint="this looks like a decompression bomb",
                )
            yield data
        if size != item.size:
            raise self._refusal(item.name, f"has {size} bytes and not the {item.size} it declares")

    def _refusal(self, name: str, why: str) -> ArchiveError:
        return ArchiveError(
            f"{self._what}: {name[:200]!r} {why}", hint="the archive is damaged or hostile"
        )
