"""``channel.lock``: the sources of every package, pinned by SHA-256.

It holds file names and hashes, never addresses: where files come from is up to pip's settings
and to the Debian mirror of the machine. What runs anywhere is pinned once, with the first
platform.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.channel.errors import ChannelError
from benchmarks.channel.recipes import PLATFORMS

LOCK_FILE = Path(__file__).with_name("channel.lock")
SCHEMA = 1
# The first pins what has no pin yet, the second chooses everything anew.
RELOCK = "run: python -m benchmarks.channel lock"
RENEW = f"{RELOCK} --upgrade"

Pin = TypeVar("Pin")


@dataclass(frozen=True)
class LockedFile:
    """One file of a source: a wheel, a ``.deb``, or a part of a Debian source package.

    ``path`` is a file name for wheels and a path below the mirror for Debian's files.
    """

    version: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """The file name alone."""
        return self.path.rpartition("/")[2]

    @property
    def portable(self) -> bool:
        """Whether it is for any platform, by its name: a pure wheel, a package without binaries."""
        return self.name.endswith(("-any.whl", "_all.deb"))


@dataclass(frozen=True)
class Lock:
    """The pins for one platform."""

    wheels: Mapping[str, LockedFile] = field(default_factory=dict)
    debs: Mapping[str, LockedFile] = field(default_factory=dict)
    sources: Mapping[str, tuple[LockedFile, ...]] = field(default_factory=dict)

    @property
    def portable(self) -> Lock:
        """What serves every platform; sources are."""
        return Lock(
            {name: pin for name, pin in self.wheels.items() if pin.portable},
            {name: pin for name, pin in self.debs.items() if pin.portable},
            self.sources,
        )

    @property
    def bound(self) -> Lock:
        """What serves one platform alone."""
        return Lock(
            {name: pin for name, pin in self.wheels.items() if not pin.portable},
            {name: pin for name, pin in self.debs.items() if not pin.portable},
        )

    def over(self, other: Lock) -> Lock:
        """Return the pins of both, these first."""
        return Lock(
            {**other.wheels, **self.wheels},
            {**other.debs, **self.debs},
            {**other.sources, **self.sources},
        )

    def wheel(self, name: str) -> LockedFile:
        """Return the wheel of a project."""
        return _pin(self.wheels, "wheel", name)

    def deb(self, name: str) -> LockedFile:
        """Return a binary package."""
        return _pin(self.debs, "Debian package", name)

    def source(self, name: str) -> tuple[LockedFile, ...]:
        """Return the archives of a source package."""
        return _pin(self.sources, "Debian source", name)


def _pin(pins: Mapping[str, Pin], what: str, name: str) -> Pin:
    if name not in pins:
        raise ChannelError(f"{what} {name} is not in channel.lock; {RELOCK}")
    return pins[name]


def load_lock(subdir: str, path: Path = LOCK_FILE) -> Lock:
    """Read the pins of one platform, with those that serve every platform."""
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise ChannelError(f"cannot read {path.name}: {problem}; {RENEW}") from problem
    lock, first = parse_lock(table, subdir), PLATFORMS[0].subdir
    return lock if subdir == first else lock.over(parse_lock(table, first).portable)


def locked_subdirs(path: Path = LOCK_FILE) -> tuple[str, ...]:
    """Return the platforms that the file knows; none where there is no file."""
    if not path.exists():
        return ()
    return tuple(key for key in json.loads(path.read_text()) if key != "schema")


def parse_lock(table: Mapping[str, Any], subdir: str) -> Lock:
    """Check the schema and turn JSON into pins."""
    if table.get("schema") != SCHEMA:
        raise ChannelError(
            f"channel.lock has schema {table.get('schema')!r}, not {SCHEMA}; {RENEW}"
        )
    if subdir not in table:
        raise ChannelError(f"channel.lock knows nothing of {subdir}; {RELOCK}")
    pins = table[subdir]
    return Lock(
        wheels={name: LockedFile(**pin) for name, pin in pins["wheels"].items()},
        debs={name: LockedFile(**pin) for name, pin in pins["debs"].items()},
        sources={
            name: tuple(LockedFile(**pin) for pin in parts)
            for name, parts in pins["sources"].items()
        },
    )


def save_lock(subdir: str, lock: Lock, path: Path = LOCK_FILE) -> None:
    """Replace the pins of one platform; those of others stay."""
    table: dict[str, Any] = {}
    if path.exists():
        table = json.loads(path.read_text())
    own = lock if subdir == PLATFORMS[0].subdir else lock.bound
    table |= {"schema": SCHEMA, subdir: asdict(own)}
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    draft.replace(path)
