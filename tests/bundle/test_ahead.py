"""Reading ahead: in order, with errors in their turn, and nobody left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.bundle.ahead import ahead


@given(st.lists(st.binary(max_size=5)), st.integers(1, 4))
def test_it_gives_what_it_got(pieces: list[bytes], depth: int) -> None:
    assert list(ahead(iter(pieces), depth)) == pieces


def test_an_error_comes_in_its_turn() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("broken")

    reader = ahead(pieces())
    assert next(reader) == b"one"
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_it_reads_no_further_than_it_should_and_ends_when_nobody_wants_more() -> None:
    taken: list[int] = []
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            for number in range(1000):
                taken.append(number)
                yield b"x"
        finally:
            closed.set()

    before = threading.active_count()
    reader = ahead(pieces(), 3)
    next(reader)
    end = time.monotonic() + 10
    while len(taken) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    # One is out, three wait, and one is in hand.
    assert len(taken) == 5
    reader.close()
    assert closed.wait(10)
    assert threading.active_count() == before
    assert len(taken) < 10
