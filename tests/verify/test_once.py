"""A value that is made when it is first asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from slimpack.verify.once import once


def test_threads_get_the_same_and_it_is_made_once() -> None:
    made: list[object] = []
    start = Barrier(4)

    def make() -> object:
        made.append(object())
        return made[-1]

    get = once(make)
    assert made == []

    def ask(_: int) -> object:
        start.wait()
        return get()

    with ThreadPoolExecutor(4) as pool:
        assert {id(one) for one in pool.map(ask, range(4))} == {id(get())}
    assert len(made) == 1


def test_what_failed_is_tried_again() -> None:
    answers = iter((1, 2))
    failures = [ValueError("once")]

    def make() -> int:
        if failures:
            raise failures.pop()
        return next(answers)

    get = once(make)
    with pytest.raises(ValueError, match="once"):
        get()
    assert (get(), get()) == (1, 1)
