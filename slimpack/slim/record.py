"""What slimming did, as data: kept in the result, so that a report needs nothing else.

The record lies below the prefix, at `RECORD`, as JSON with sorted keys. It counts
by rule and package; the paths themselves are told by ``slimpack slim --files``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from slimpack.errors import ImageError

RECORD = "share/slimpack/slimming.json"
"""Where it lies, below the prefix. Not in conda-meta: conda takes every JSON there for its own."""

MAX_RECORD = 16 << 20
"""Bytes; a larger one is refused."""

_VERSION = 1


@dataclass(frozen=True)
class RuleNote:
    """A rule that did something.

    profile: the first that has it, "" for one of the user's. action: see `slimpack.slim.ruleset`.
    """

    name: str
    profile: str
    reason: str
    action: str


@dataclass(frozen=True)
class Applied:
    """What one rule took from one package: files that it removed or shortened, and their bytes.

    owner: the package, "" for files of none. kind: see `slimpack.slim.kinds`.
    """

    rule: str
    owner: str
    kind: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Usage:
    """Files of one package and kind before slimming; bytecode does not count (it is made anew)."""

    owner: str
    kind: str
    files: int
    bytes: int


@dataclass(frozen=True)
class SlimRecord:
    """All that slimming did to one environment.

    applied: sorted by rule, owner, kind. before: sorted by owner, kind.
    modules: top-level modules of which nothing is left that Python could import.
    packages: conda packages of which all files but the record are gone.
    prefix: where the environment lies, without slashes around it; "" for an archive's root.
    """

    profile: str
    prefix: str
    rules: tuple[RuleNote, ...] = ()
    applied: tuple[Applied, ...] = ()
    before: tuple[Usage, ...] = ()
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def removed_bytes(self) -> int:
        """Bytes that all rules took together."""
        return sum(item.bytes for item in self.applied)

    @property
    def removed_files(self) -> int:
        """Files that rules removed or shortened."""
        return sum(item.files for item in self.applied)

    def to_json(self) -> bytes:
        """Return the record as it is kept; the same for the same content."""
        return json.dumps({"version": _VERSION, **asdict(self)}, sort_keys=True).encode() + b"\n"


def read_record(data: bytes, what: str) -> SlimRecord:
    """Parse a record that lies in an image or archive, which is not trusted.

    Raises ImageError when it is malformed or of a newer version. what: names it.
    """
    try:
        value = json.loads(data)
        if value["version"] != _VERSION:
            raise ImageError(
                f"{what}: a slimming record of version {str(value['version'])[:20]}",
                hint="read it with the slimpack that wrote it, or a newer one",
            )
        return SlimRecord(
            profile=_text(value["profile"]),
            prefix=_text(value["prefix"]),
            rules=_items(RuleNote, value["rules"]),
            applied=_items(Applied, value["applied"]),
            before=_items(Usage, value["before"]),
            modules=tuple(map(_text, value["modules"])),
            packages=tuple(map(_text, value["packages"])),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ImageError(
            f"{what}: not a slimming record ({type(error).__name__}: {error})",
            hint="the file was changed after slimpack wrote it; build again",
        ) from error


_Item = TypeVar("_Item", RuleNote, Applied, Usage)


def _items(kind: type[_Item], values: Iterable[Any]) -> tuple[_Item, ...]:
    return tuple(_item(kind, value) for value in values)


def _item(kind: type[_Item], value: dict[str, Any]) -> _Item:
    types = {field.name: int if field.type == "int" else str for field in fields(kind)}
    for name, wanted in types.items():
        if type(value[name]) is not wanted or (wanted is int and value[name] < 0):
            raise ValueError(f"{name} is {str(value[name])[:40]!r}")
    return kind(**{name: value[name] for name in types})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {str(value)[:40]!r}")
    return value
