"""Reading and checking what comes next while what came before is written.

Reading, hashing and writing release the interpreter's lock, so two threads keep a disk busy.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue

DEPTH = 8
"""Pieces that wait; a piece of a tar has 1 MiB or a little more."""

_WAIT = 0.1  # seconds between looks at whether anybody still wants more
_GRACE = 2.0  # seconds in which the reader may clean up


def ahead(pieces: Iterator[bytes], depth: int = DEPTH) -> Generator[bytes]:
    """Yield what `pieces` yields, which a thread asks for up to `depth` pieces in advance.

    An exception in there is raised here, in its turn. Whoever ends early (an error, Ctrl-C)
    waits a moment for the thread, which does not keep the process alive.
    """
    waiting: Queue[bytes | BaseException | None] = Queue(depth)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(Full):
                waiting.put(item, timeout=_WAIT)
                return

    def work() -> None:
        try:
            for piece in pieces:
                put(piece)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # told to whoever waits
            put(error)
        finally:
            if isinstance(pieces, Generator):
                pieces.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        with suppress(Empty):  # a reader that waits for room finds it, and ends
            waiting.get_nowait()
        thread.join(_GRACE)
