"""Paths of a root file system, looked up from outside without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from threading import Lock
from typing import Literal

from slimpack.errors import ImageError
from slimpack.files import explained

# Checks run beside each other, each in a sandbox with the same mount points.
_MAKING = Lock()
_MAX_HOPS = 40  # Linux follows no more (path_resolution(7))


def resolve(root: Path, path: str) -> str:
    """Return where `path` leads for a process whose root is `root`: no link is left in it.

    Relative to the root, "" for the root itself. What does not exist is taken by its
    name. Raises ImageError for links in a circle.
    """
    behind: list[str] = []
    ahead = path.split("/")[::-1]
    hops = 0
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del behind[-1:]  # above the root is the root
            continue
        target = _link(root / "/".join((*behind, part)))
        if target is None:
            behind.append(part)
            continue
        hops += 1
        if hops > _MAX_HOPS:
            raise ImageError(f"/{path.strip('/')[:200]} of the image leads in a circle")
        if target.startswith("/"):
            behind = []
        ahead += target.split("/")[::-1]
    return "/".join(behind)


def ensure(root: Path, path: str, kind: Literal["folder", "file"]) -> str:
    """Return `resolve(root, path)` and see to it that it is a folder or a file.

    Missing ones, and folders above, are made empty, with mode 0755 or 0644. Raises
    ImageError when something else is there, SlimpackError when nothing can be made.
    """
    found = resolve(root, path)
    place = root / found
    with explained(place), _MAKING:
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            _make(root, found, kind)
            return found
        except NotADirectoryError:
            mode = 0
    if not (stat.S_ISDIR if kind == "folder" else stat.S_ISREG)(mode):
        raise ImageError(f"/{found[:200]} of the image is no {kind}, but has to be one")
    return found


def read(root: Path, path: str, limit: int) -> bytes | None:
    """Return the content of a regular file; None when there is none.

    Raises ImageError for more than `limit` bytes.
    """
    place = root / resolve(root, path)
    try:
        # A FIFO would block; a link that came since `resolve` is not followed.
        number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    with os.fdopen(number, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ImageError(f"/{path} of the image has more than {limit} bytes")
    return data


def _link(place: Path) -> str | None:
    try:
        return os.readlink(place)  # noqa: PTH115 (as it is stored)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(f"the image has a path that is too long: {place.name[:200]}") from None
        return None


def _make(root: Path, path: str, kind: Literal["folder", "file"]) -> None:
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        if count == len(parts) and kind == "file":
            place.touch(exist_ok=False)
            place.chmod(0o644)
        elif not place.exists():
            place.mkdir()
            place.chmod(0o755)
