"""What lies in a prefix: every path with its status, looked at and not opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimpack.env.meta import CLOBBERS
from slimpack.errors import InputError

# What a base installation keeps beside its own environment (conda-pack leaves out
# the same), and what installers and version control keep for themselves.
_OUTSIDE = frozenset(
    {
        "pkgs",
        "envs",
        "conda-bld",
        "conda-recipes",
        "users",
        ".git",
        ".index",
        ".unionfs",
        ".pixi",
    }
)
_OWN = frozenset({".conda_lock", ".nonadmin", "CACHEDIR.TAG", CLOBBERS})


@dataclass(frozen=True)
class Contents:
    """All paths below a prefix, in order.

    there: path -> status (of the link itself); files, links and empty folders.
    strange: what no archive and no image can hold -> what it is ("a socket").
    left_out: folders at the top that are no part of the environment.
    """

    there: dict[str, os.stat_result]
    strange: dict[str, str]
    left_out: tuple[str, ...]


def walk(prefix: Path) -> Contents:
    """List a prefix without following links.

    Raises InputError when the prefix itself has a name that is not UTF-8.
    """
    if _undecodable(str(prefix)):
        raise InputError(
            f"{str(prefix)!r}: the path of the environment is not UTF-8",
            hint="move the environment to another folder and install it again",
        )
    there: dict[str, os.stat_result] = {}
    strange: dict[str, str] = {}
    left_out: list[str] = []
    for path, entry in _entries(prefix, strange, left_out):
        mode = entry.st_mode
        if _undecodable(path):
            strange[repr(path)] = "a name that is not UTF-8"
        elif stat.S_ISREG(mode) and not os.access(prefix / path, os.R_OK):
            strange[path] = "not readable"
        elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            strange[path] = _kind(mode)
        else:
            there[path] = entry
    return Contents(dict(sorted(there.items())), strange, tuple(sorted(left_out)))


def _entries(
    prefix: Path, strange: dict[str, str], left_out: list[str]
) -> Iterator[tuple[str, os.stat_result]]:
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(prefix / folder) as scan:
                entries = list(scan)
        except OSError:
            strange[folder or "."] = "not readable"
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not folder and _foreign(entry, left_out):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path, entry.stat(follow_symlinks=False)
        if folder and not entries:
            yield folder, (prefix / folder).lstat()


def _foreign(entry: os.DirEntry[str], left_out: list[str]) -> bool:
    if entry.name in _OUTSIDE:
        left_out.append(entry.name)
        return True
    return entry.name in _OWN


def _undecodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device"
