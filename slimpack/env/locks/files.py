"""Locks as files: which format a name stands for, and writing each."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from slimpack.env.inputs.identify import Input
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.condalock_write import write_conda_lock
from slimpack.env.locks.lock import Lock, explicit_text
from slimpack.env.rattler.engine import merge_locks
from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.files import atomic_file

_PLATFORM = "{platform}"
_NAMES = (
    ("*-lock.yml", "conda-lock"),
    ("*-lock.yaml", "conda-lock"),
    ("*.lock", "rattler"),
    ("*.txt", "explicit"),
)


class LockFormat(Enum):
    """What a lock is written as."""

    RATTLER = "rattler"
    EXPLICIT = "explicit"
    CONDA_LOCK = "conda-lock"


def format_of(path: Path) -> LockFormat:
    """Return the format that the name of a lock stands for; InputError when it tells none."""
    for pattern, name in _NAMES:
        if fnmatch.fnmatchcase(path.name, pattern):
            return LockFormat(name)
    raise InputError(
        f"{path}: the name does not tell the format of the lock",
        hint="name it pixi.lock, explicit.txt or conda-lock.yml, or pass --format",
    )


def write_locks(
    locks: Sequence[Lock], path: Path, form: LockFormat, spec: EnvSpec
) -> tuple[Path, ...]:
    """Write locks of one or several platforms and return the files.

    An ``@EXPLICIT`` list holds one platform; ``{platform}`` in the name of `path`
    stands for it. Each file appears whole or not at all, and all are rendered
    before the first is written. They hold no credentials.
    """
    if form is LockFormat.EXPLICIT:
        if len(locks) > 1 and _PLATFORM not in path.name:
            raise InputError(
                f"{path}: an @EXPLICIT list is for one platform, not for {len(locks)}",
                hint=f"put {_PLATFORM} into the name, such as explicit-{_PLATFORM}.txt",
            )
        texts = {place(path, lock.platform): explicit_text(lock) for lock in locks}
    elif form is LockFormat.CONDA_LOCK:
        texts = {path: write_conda_lock(locks, spec)}
    else:
        texts = {path: locks[0].text if len(locks) == 1 else merge_locks(locks)}
    for file, text in texts.items():
        with atomic_file(file) as stream:
            stream.write(redacted(text).encode())
    return tuple(texts)


def as_spec(source: Input, locks: Sequence[Lock]) -> EnvSpec:
    """Return a specification that stands for locks, for formats that record where they are from."""
    return EnvSpec(
        name="env",
        channels=(),
        specs=tuple(package.dist for lock in locks for package in lock.packages),
        source=str(source.path or source.describe),
        folder=source.path.parent if source.path else None,
    )


def place(path: Path, subdir: str) -> Path:
    """Return the file for one platform: ``{platform}`` in the name stands for the subdir."""
    return path.with_name(path.name.replace(_PLATFORM, subdir))
