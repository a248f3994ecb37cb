"""Files, links and folders made below one new folder, with exact modes and times."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Owner = tuple[int, int]
"""uid and gid; whoever gives one must be root."""


class Site:
    """Makes what it is told to below `root`, an empty folder that nobody else writes to.

    Paths are relative and normal. Whoever calls makes sure that each is made once and
    that everything above it was made as a folder, before it: then no call can follow
    a link, which O_EXCL and O_NOFOLLOW hold for the last segment besides.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._folders: list[tuple[str, int, Owner | None, int | None]] = []

    def folder(
        self,
        path: str,
        *,
        mode: int = 0o755,
        owner: Owner | None = None,
        mtime: int | None = None,
    ) -> None:
        """Make a folder; mode, owner and time are set at the end, so that it may forbid writing."""
        place = self._place(path)
        os.mkdir(place, 0o700)  # noqa: PTH102 (bytes-exact, and once per member)
        self._folders.append((place, mode, owner, mtime))

    def file(
        self,
        path: str,
        content: Iterable[bytes],
        *,
        mode: int,
        mtime: int,
        owner: Owner | None = None,
    ) -> None:
        """Make a file of `content`; mtime in whole seconds since the epoch."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._place(path), flags, 0o600), "wb") as out:
            for data in content:
                out.write(data)
            out.flush()
            if owner is not None:
                os.fchown(out.fileno(), *owner)
            os.fchmod(out.fileno(), mode)
            os.utime(out.fileno(), (mtime, mtime))

    def symlink(self, path: str, target: str, *, mtime: int, owner: Owner | None = None) -> None:
        """Make a symbolic link."""
        place = self._place(path)
        os.symlink(target, place)  # noqa: PTH211 (bytes-exact)
        if owner is not None:
            os.chown(place, *owner, follow_symlinks=False)
        os.utime(place, (mtime, mtime), follow_symlinks=False)

    def hardlink(self, path: str, target: str) -> None:
        """Make `path` another name of the file `target`."""
        os.link(self._place(target), self._place(path), follow_symlinks=False)

    def finish(self, *, mtime: int | None = None) -> None:
        """Give the folders their modes, owners and times, and the root mode 0755.

        mtime: for the root and for folders that were made without a time; None leaves
        theirs as it is.
        """
        for place, mode, owner, own in [*reversed(self._folders), (self._root, 0o755, None, None)]:
            if owner is not None:
                os.chown(place, *owner, follow_symlinks=False)
            os.chmod(place, mode)  # noqa: PTH101
            time = mtime if own is None else own
            if time is not None:
                os.utime(place, (time, time))

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"
