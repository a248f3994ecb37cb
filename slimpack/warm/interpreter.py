"""The Python of an environment, kept installed for builds that need nothing else of it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from slimpack.bytecode import Compiler
from slimpack.cache.memo import digest_of
from slimpack.env.locks.lock import Lock
from slimpack.errors import SlimpackError
from slimpack.means import Means
from slimpack.slim.bytecode import cache_tag, candidates
from slimpack.warm.closure import closure
from slimpack.warm.noswap import StartOver

_WHOLE = "whole"


def python_identity(lock: Lock, packages: Mapping[str, str]) -> str:
    """Return a text that is another one for another Python, or other libraries below it."""
    return digest_of(sorted((name, packages[name]) for name in closure(lock, ("python",))))


def kept_compiler(lock: Lock, packages: Mapping[str, str], means: Means) -> Compiler | None:
    """Return what writes bytecode for an environment that is not installed.

    None where it has no Python. packages: name -> identity. Raises StartOver where that
    Python cannot be installed beside the cache, or does not run there.
    """
    python = lock.get("python")
    if python is None:
        return None
    prefix = kept_python(lock, packages, means)
    program = candidates(prefix, python.version)[0]
    tag = cache_tag(program)
    if not tag:  # another Python might write something else
        raise StartOver(f"{program} does not run")
    return Compiler((program,), tag)


def kept_python(lock: Lock, packages: Mapping[str, str], means: Means) -> Path:
    """Return the prefix that holds the Python of a lock, and what it needs; nothing else.

    Raises StartOver where it cannot be installed beside the cache.
    """
    prefix = means.cache.interpreters / python_identity(lock, packages)[:16]
    try:
        _install(lock, prefix, means)
    except (OSError, SlimpackError) as error:
        raise StartOver(f"no interpreter: {error}") from error
    return prefix


def _install(lock: Lock, prefix: Path, means: Means) -> None:
    """Install it, unless it is there; only one process does so at a time."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(prefix.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        mark = prefix / "conda-meta" / _WHOLE
        if mark.exists():
            os.utime(prefix)
            return
        from slimpack.env.rattler.engine import RattlerEngine

        shutil.rmtree(prefix, ignore_errors=True)
        engine = RattlerEngine(means.cache.packages, means.cache.repodata)
        engine.install(lock, prefix, only=closure(lock, ("python",)), progress=means.progress)
        mark.touch()
    finally:
        os.close(held)
