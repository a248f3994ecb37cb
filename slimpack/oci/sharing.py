"""Files of one content: hard links inside a layer, a report across packages.

Packages carry files more than once: licences, test data, programs under each of their
names where the package format had no links. In a layer all but the first become hard
links, which cost a header instead of the content, in the unpacked image too.

Nobody sees a difference in a container, because it writes to a layer of its own: the
first write to a file copies it there under the one name that was written to, and the
other names keep the old content (overlayfs without its index, as Docker and containerd
mount it). Programs that rename a new file over an old one cut the link anywhere. What
is left is an image that was unpacked into a plain folder, in which root writes into a
file in place. Hence `apart`: the application, which people mount over and edit, is
left alone.

ELF files are linked only inside one folder. The dynamic linker knows a library by
device and inode (glibc, elf/dl-load.c): copies in two folders are two libraries, each
with variables and an ``$ORIGIN`` of its own, and hard links would be one. An extension
module that two packages bring would then be initialised twice, which Cython's refuse.

Content is the same when its SHA-256 is, and only files that agree with another in size,
mode and owner are read for it: 5 MB of a serving environment of 350 MB. They are read
through their openers, so whatever those check is checked for links too.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from slimpack.oci.plan import LayerPlan
from slimpack.oci.tar import BLOCK, content, member_size
from slimpack.tree import Entry, Kind, hardlink_entry

MIN_SIZE = BLOCK
"""Bytes from which on a file may become a link.

Smaller ones are equal by chance (``__init__.py`` of one line), and once the layer is
compressed the name of a target costs what they do.
"""

_ELF = b"\x7fELF"


@dataclass(frozen=True)
class Shared:
    """What hard links save: the number of files that are links, and their bytes."""

    files: int = 0
    size: int = 0


@dataclass(frozen=True)
class Duplicate:
    """A library that more than one package brings.

    sha256: 64 hex digits. size: bytes of one copy.
    copies: (owner, path) of each, sorted by path; the owner "" stands for nobody.
    """

    sha256: str
    size: int
    copies: tuple[tuple[str, str], ...]

    @property
    def wasted(self) -> int:
        """Bytes of all copies but one."""
        return self.size * (len(self.copies) - 1)


@dataclass(frozen=True)
class _Content:
    sha256: str
    elf: bool


def share(plan: LayerPlan, *, apart: Collection[str] = ()) -> tuple[LayerPlan, Shared]:
    """Make files of `plan` that equal an earlier one in the layer hard links to it.

    Equal: in content, mode, uid and gid, from `MIN_SIZE` bytes on. A link that would
    make the tar no smaller is not made (its target's name may need a pax record).
    apart: owners whose files stay files, and to whose files no link leads.

    The plan is the last word on what is in the layer: split it before. The same plan
    gives the same links. Raises ImageError for content that cannot be read or has not
    the size it should, and what the openers raise.
    """
    groups: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in plan.entries:
        if entry.kind is Kind.FILE and entry.size >= MIN_SIZE and entry.owner not in apart:
            groups[entry.size, entry.mode, entry.uid, entry.gid].append(entry)
    links: dict[str, Entry] = {}
    saved = 0
    for group in groups.values():
        for first, *others in _equal(group):
            for entry in others:
                link = _link(entry, first)
                if member_size(link) < member_size(entry):
                    links[entry.path] = link
                    saved += entry.size
    entries = tuple(links.get(entry.path, entry) for entry in plan.entries)
    return replace(plan, entries=entries), Shared(len(links), saved)


def share_all(
    plans: Sequence[LayerPlan], *, apart: Collection[str] = ()
) -> tuple[list[LayerPlan], Shared]:
    """Return `share` of each plan, and what is saved in all of them together."""
    done = [share(plan, apart=apart) for plan in plans]
    total = Shared(sum(s.files for _, s in done), sum(s.size for _, s in done))
    return [plan for plan, _ in done], total


def duplicates(entries: Iterable[Entry]) -> tuple[Duplicate, ...]:
    """Return the ELF libraries that two owners or more bring, what wastes most first.

    entries: of all layers, before `share`. Libraries are known by their names
    (``*.so``, ``*.so.*``). Only those whose size occurs under two owners are read;
    raises as `share` does.
    """
    by_size: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind is Kind.FILE and entry.size and is_library(entry.path):
            by_size[entry.size].append(entry)
    found: list[Duplicate] = []
    for size, group in by_size.items():
        if not _owners_differ(group):
            continue
        same: dict[_Content, list[Entry]] = defaultdict(list)
        for entry in sorted(group, key=lambda entry: entry.path):
            same[_content(entry)].append(entry)
        found += (
            Duplicate(key.sha256, size, tuple((copy.owner, copy.path) for copy in copies))
            for key, copies in same.items()
            if key.elf and _owners_differ(copies)
        )
    return tuple(sorted(found, key=lambda item: (-item.wasted, item.copies[0][1])))


def _equal(group: list[Entry]) -> Iterable[list[Entry]]:
    """Return the sets of entries that may be one file; order is kept."""
    if len(group) == 1:
        return ()
    same: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in group:
        found = _content(entry)
        same[found, entry.path.rpartition("/")[0] if found.elf else None].append(entry)
    return same.values()


def _link(entry: Entry, target: Entry) -> Entry:
    return hardlink_entry(
        entry.path,
        target.path,
        mode=entry.mode,
        owner=entry.owner,
        uid=entry.uid,
        gid=entry.gid,
    )


def _content(entry: Entry) -> _Content:
    digest, head = hashlib.sha256(), b""
    for data in content(entry):
        digest.update(data)
        if len(head) < len(_ELF):
            head += data[: len(_ELF) - len(head)]
    return _Content(digest.hexdigest(), head == _ELF)


def is_library(path: str) -> bool:
    """Tell whether a path is that of a shared library, by its name."""
    name = path.rpartition("/")[2]
    return name.endswith(".so") or ".so." in name


def _owners_differ(group: list[Entry]) -> bool:
    return len({entry.owner for entry in group}) > 1
