"""Who an image's user is, by the image's own etc/passwd and etc/group.

Rules: OCI image-spec v1.1, config.md (``User``), as runc and Docker apply them: a user
without a group has the group of its account, or 0, and all groups that list it; a
group that is named is the only one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import ImageError
from slimpack.sandbox import inside

_MAX_FILE = 4 << 20
_MAX_ID = (1 << 31) - 1  # runc takes no higher ones
_MAX_GROUPS = 1024


@dataclass(frozen=True)
class User:
    """Numbers of a user; home: absolute."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def find_user(root: Path, text: str) -> User:
    """Return who `text` (``""``, ``uid``, ``user``, either with ``:gid`` or ``:group``) is.

    Raises ImageError for names that the root file system does not know.
    """
    name, colon, group = text.partition(":")
    name = name or "0"
    accounts = list(_records(root, "etc/passwd", 6))
    wanted = _number(name)
    account = next(
        (row for row in accounts if (row[0] == name if wanted is None else row[2] == str(wanted))),
        None,
    )
    if account is None and wanted is None:
        raise _unknown("user", name, "etc/passwd")
    uid = wanted if wanted is not None else _stored(account, 2)
    home = account[5] if account and account[5].startswith("/") else "/"
    groups = list(_records(root, "etc/group", 3))
    if colon and group:
        return User(uid, _group(groups, group), home=home)
    gid = _stored(account, 3) if account else 0
    others = {
        _stored(row, 2)
        for row in groups
        if account and len(row) > 3 and account[0] in _members(row)
    }
    return User(uid, gid, tuple(sorted(others - {gid})[:_MAX_GROUPS]), home)


def _group(groups: list[list[str]], text: str) -> int:
    number = _number(text)
    if number is not None:
        return number
    for row in groups:
        if row[0] == text:
            return _stored(row, 2)
    raise _unknown("group", text, "etc/group")


def _members(row: list[str]) -> list[str]:
    return row[3].split(",")


def _records(root: Path, path: str, fields: int) -> Iterator[list[str]]:
    data = inside.read(root, path, _MAX_FILE) or b""
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        row = line.split(":")
        if len(row) >= fields and not line.startswith("#"):
            yield row


def _number(text: str) -> int | None:
    """Return the id that `text` is, None for a name."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 10 or int(text) > _MAX_ID:
        raise ImageError(f"{text[:40]} is no user or group id: they end at {_MAX_ID}")
    return int(text)


def _stored(row: list[str] | None, field: int) -> int:
    number = _number(row[field]) if row else None
    if row is None or number is None:
        name = row[0] if row else ""
        raise ImageError(f"the account {name[:200]!r} of the image has no number")
    return number


def _unknown(what: str, name: str, path: str) -> ImageError:
    return ImageError(
        f"the image has no {what} {name[:200]!r}: /{path} does not list it",
        hint=f"give the {what} as a number, or add it to /{path}",
    )
