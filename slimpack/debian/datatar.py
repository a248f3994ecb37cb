"""The files of a package: from data.tar to entries.

What is refused: paths and links that leave the root, names that are there
twice, devices, setuid and setgid bits, owners that Debian does not reserve
(Policy 9.2.2), sparse files, and a tar that ends before its end. Openers read
from the unpacked tar in the cache, so no content is held in memory.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from posixpath import normpath

from slimpack.debian.deb import refuse
from slimpack.slices import open_slice
from slimpack.tree import Entry, Kind, check_path, parents

_MAX_MEMBERS = 200_000
_MAX_PATH = 4096
# Policy 9.2.2: user ids 0 to 99 are the same on every Debian system.
_MAX_STATIC_ID = 99
_STICKY = 0o1000
_SETID = 0o6000


def data_entries(tar: Path, owner: str, keep: Callable[[str], bool], what: str) -> list[Entry]:
    """Return the entries of an uncompressed data.tar for which ``keep(path)`` is true.

    Directories above what is kept are kept too.
    """
    entries: dict[str, Entry] = {}
    members: dict[str, tarfile.TarInfo] = {}
    kept: set[str] = set()
    try:
        for member in _members(tar, what):
            path = _path(member.name, what)
            if not path:
                continue
            if path in members:
                raise refuse(what, f"{path} is in it twice")
            members[path] = member
            if keep(path):
                kept.add(path)
                kept.update(parents(path))
            entry = _entry(member, path, owner, tar, entries, what)
            if entry is not None:
                entries[path] = entry
    except (tarfile.TarError, UnicodeError, OverflowError) as error:
        raise refuse(what, f"data.tar is damaged: {error}") from error
    # What is left out anyway (a setuid program) need not be fit for an image.
    for path in sorted(kept & members.keys()):
        _check_fit(members[path], path, what)
    return [entry for path, entry in entries.items() if path in kept]


def _members(tar: Path, what: str) -> Iterator[tarfile.TarInfo]:
    size = tar.stat().st_size
    with tarfile.open(tar, "r:", errors="strict", encoding="utf-8") as archive:
        for count, member in enumerate(archive):
            if count >= _MAX_MEMBERS:
                raise refuse(what, f"it has more than {_MAX_MEMBERS} members")
            if member.isreg() and member.offset_data + member.size > size:
                raise refuse(what, f"{member.name} ends after the end of data.tar")
            yield member
        _check_end(tar, archive.offset, what)


def _check_end(tar: Path, offset: int, what: str) -> None:
    """Refuse a tar in which something follows the last member that was understood.

    `tarfile` takes a damaged header for the end of the archive.
    """
    with open(tar, "rb") as stream:
        stream.seek(offset)
        while chunk := stream.read(1 << 20):
            if chunk.strip(b"\0"):
                raise refuse(what, "data.tar holds a damaged header")


def _path(name: str, what: str) -> str:
    """Return a member's path without ``./``, "" for the root itself."""
    if name in ("", "."):
        return ""
    path = name.removeprefix("./")
    try:
        check_path(path)
    except ValueError as error:
        raise refuse(what, f"it holds {error}") from None
    if len(path) > _MAX_PATH:
        raise refuse(what, f"a path in it is longer than {_MAX_PATH} characters")
    return path


def _entry(
    member: tarfile.TarInfo,
    path: str,
    owner: str,
    tar: Path,
    before: dict[str, Entry],
    what: str,
) -> Entry | None:
    """Turn a member into an entry, None for what an entry cannot be."""
    uid, gid, mode = member.uid, member.gid, member.mode & 0o7777
    if member.issym():
        _check_link(path, member.linkname, what)
        link = member.linkname
        return Entry(path, Kind.SYMLINK, 0o777, owner, link=link, uid=uid, gid=gid)
    if member.islnk():
        target = before.get(_path(member.linkname, what))
        if target is None or target.kind is not Kind.FILE:
            raise refuse(what, f"{path} is a hard link to {member.linkname}, no file before it")
        return replace(target, path=path)
    if member.isdir():
        return Entry(path, Kind.DIRECTORY, mode, owner, uid=uid, gid=gid)
    if member.isreg() and not member.issparse():
        opener = partial(open_slice, tar, member.offset_data, member.size)
        # The tar is named by its own digest.
        known = f"debian:{tar.name}:{member.offset_data}"
        return Entry(
            path, Kind.FILE, mode, owner, member.size, opener, uid=uid, gid=gid, identity=known
        )
    return None


def _check_fit(member: tarfile.TarInfo, path: str, what: str) -> None:
    """Refuse what a base must not hold."""
    plain = member.isreg() and not member.issparse()
    if not (plain or member.isdir() or member.issym() or member.islnk()):
        raise refuse(what, f"{path} is neither a plain file, a link nor a directory")
    forbidden = _SETID if member.isdir() else _SETID | _STICKY
    if member.mode & forbidden and not member.issym():
        raise refuse(what, f"{path} has setuid, setgid or sticky bits ({member.mode:04o})")
    if not (0 <= member.uid <= _MAX_STATIC_ID and 0 <= member.gid <= _MAX_STATIC_ID):
        raise refuse(what, f"{path} belongs to {member.uid}:{member.gid}, no static Debian ids")


def _check_link(path: str, link: str, what: str) -> None:
    """Refuse links that climb above the root of the image."""
    if not link or "\0" in link or len(link) > _MAX_PATH:
        raise refuse(what, f"{path} is a link to nowhere")
    folder = "" if link.startswith("/") else path.rpartition("/")[0]
    depth = 0
    for part in f"{folder}/{link}".split("/"):
        if part in ("", "."):
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise refuse(what, f"{path} is a link out of the image ({normpath(link)})")
