"""A value that is made when it is first asked for, by whichever thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Return what gives the result of `make`, which is called once, if at all.

    Threads that ask meanwhile wait; where it raises, the next who asks calls it again.
    """
    lock, found = Lock(), list[T]()

    def get() -> T:
        with lock:
            if not found:
                found.append(make())
            return found[0]

    return get
