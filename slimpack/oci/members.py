"""What a layer lists, told from what it was written of instead of from its bytes.

A layer that was just made need not be decompressed to learn the names in it. Whoever reads it
later compares (`slimpack.rootfs.unpack_image`), so that nothing is believed that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slimpack.oci.tar import BLOCK, member_size, with_parents
from slimpack.oci.untar import Member
from slimpack.tree import Entry, Kind

Listed = Mapping[str, Sequence[Member]]
"""Digest of a layer -> its members, in order."""


def written_members(entries: Iterable[Entry], mtime: int) -> list[Member]:
    """Return the members that a reader finds in what `write_tar` makes of the same.

    mtime: seconds since the epoch. Raises ImageError as `write_tar` does.
    """
    found, position = [], 0
    for entry in with_parents(entries):
        end = position + member_size(entry)
        folder = entry.kind is Kind.DIRECTORY
        found.append(
            Member(
                path=entry.path,
                kind=entry.kind.value,
                mode=entry.mode & 0o7777,
                uid=entry.uid,
                gid=entry.gid,
                size=entry.size,
                offset=end - entry.size - -entry.size % BLOCK,
                link=entry.link,
                mtime=mtime,
                name=f"{entry.path}/" if folder else entry.path,
            )
        )
        position = end
    return found
