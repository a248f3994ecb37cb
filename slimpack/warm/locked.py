"""A lock that an earlier build has read: the same file says the same.

It saves the process that reads locks, and the import of all that solves and installs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slimpack.cache.kinds import LOCK
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.config import Config
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.redact import redacted
from slimpack.files import file_digest
from slimpack.platforms import resolve
from slimpack.warm.code import own_code


@dataclass(frozen=True)
class Locked:
    """What a lock says for one platform. engine: what would install it."""

    source: Input
    platform: str
    lock: Lock
    engine: str
    notes: tuple[str, ...] = ()


def is_pinned(source: Input, lock: Lock | None) -> bool:
    """Tell whether a lock's file says all of what is installed.

    It does not when a project's file was given and the lock lies beside it, when a folder,
    or what has to be built, is installed, or when whatever is behind a URL is taken. What
    an @EXPLICIT list or a conda-lock.yml leaves out, the channels are asked for, and may
    tell otherwise tomorrow.
    """
    if lock is None or source.kind is not InputKind.LOCK or source.manifest:
        return False
    return all(package.sha256 or package.md5 for package in lock.packages) and all(
        one.sha256 and urlsplit(one.url).path.endswith(".whl") for one in lock.pypi
    )


def known_lock(config: Config, key: str | None, memos: Memo) -> Locked | None:
    """Return what the input says, if it is a lock that was read before. key: its `lock_key`."""
    data = memos.get(LOCK, key) if key else None
    if data is None:
        return None
    with suppress(*MALFORMED):
        value = json.loads(data)
        return Locked(
            source=Input(InputKind[value["kind"]], Path(config.env.inputs[0])),
            platform=value["platform"],
            lock=_lock(value["lock"]),
            engine=value["engine"],
            notes=tuple(value["notes"]),
        )
    return None


def keep_locked(config: Config, key: str | None, locked: Locked, memos: Memo) -> None:
    """Keep what a lock says. key: `lock_key` before it was read; it may be another file now."""
    if key is None or locked.lock.pypi or not is_pinned(locked.source, locked.lock):
        return
    text = locked.lock.text
    if redacted(text) != text:
        return  # credentials stay where their owner keeps them
    if lock_key(config) != key:
        return
    value = {
        "kind": locked.source.kind.name,
        "platform": locked.platform,
        "lock": {**asdict(locked.lock), "pypi": []},
        "engine": locked.engine,
        "notes": locked.notes,
    }
    memos.put(LOCK, key, json.dumps(value).encode())


def lock_key(config: Config) -> str | None:
    """Return what the reading follows from; None where it is more than a file."""
    env = config.env
    if len(env.inputs) != 1 or env.cuda or env.cuda_compat or env.channels or env.lock:
        return None
    path = Path(env.inputs[0])
    with suppress(OSError):
        if path.is_file():
            return digest_of(
                own_code(),
                [file_digest(path), str(path.resolve().parent), path.name],
                [env.environment, list(env.categories), env.engine, resolve(env.platform)],
                shutil.which("micromamba") or "",
            )
    return None


def _lock(value: Mapping[str, Any]) -> Lock:
    return Lock(
        platform=value["platform"],
        packages=tuple(
            LockedPackage(**{**package, "depends": tuple(package["depends"])})
            for package in value["packages"]
        ),
        text=value["text"],
    )
