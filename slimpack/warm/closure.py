"""Which packages of a lock need which others."""

from __future__ import annotations

from collections.abc import Iterable

from slimpack.env.locks.lock import Lock
from slimpack.env.specs import spec_name


def depends(lock: Lock) -> dict[str, set[str]]:
    """Return package -> the packages of the lock that it depends on."""
    names = {package.name for package in lock.packages}
    return {package.name: set(map(spec_name, package.depends)) & names for package in lock.packages}


def closure(lock: Lock, names: Iterable[str]) -> frozenset[str]:
    """Return packages of a lock with all that they depend on; names that it lacks are no matter."""
    needs = depends(lock)
    found: set[str] = set()
    waiting = [name for name in names if name in needs]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs[name]
    return frozenset(found)
