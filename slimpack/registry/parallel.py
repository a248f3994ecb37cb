"""Several transfers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

WORKERS = 4
_GRACE = 2.0  # seconds in which workers clean up after an error


def run_all(
    jobs: Sequence[Callable[[], object]], *, stop: Callable[[], object], workers: int = WORKERS
) -> None:
    """Run every job, `workers` at a time; raise the first exception that one of them raises.

    After an exception, or Ctrl-C, `stop` is called, no other job begins, and nobody
    waits longer than a moment for those under way: their threads do not keep the
    process alive.
    """
    waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except Empty:
                return
            try:
                job()
                done.put(None)
            except BaseException as error:  # told to whoever waits
                done.put(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            if error := done.get():
                raise error
    except BaseException:
        stop()
        while not waiting.empty():
            try:
                waiting.get_nowait()
            except Empty:
                break
        end = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        raise
