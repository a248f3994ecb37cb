"""Work done on blocks in threads, with results taken in the order of the blocks."""

from __future__ import annotations

import bz2
import lzma
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

from slimpack.oci.digest import Writable

_T = TypeVar("_T")
_MIB = 1 << 20
# What xz itself takes for a block of its threaded mode: three times the dictionary.
_XZ_BLOCK = {0: 1, 1: 3, 2: 6, 3: 12, 4: 12, 5: 24, 6: 24, 7: 48, 8: 96, 9: 192}


class InOrder(Generic[_T]):
    """Runs jobs in threads and hands each result to `take` in the order of submission.

    Two jobs for each thread are under way at most, so that memory stays bounded. An
    error in a job is raised by the call that would have taken its result.
    """

    def __init__(self, threads: int, take: Callable[[_T], object]) -> None:
        self._take = take
        self._most = 2 * threads
        self._pool = ThreadPoolExecutor(threads)
        self._jobs: deque[Future[_T]] = deque()

    def submit(self, job: Callable[[], _T]) -> None:
        """Start `job`, after the oldest result was taken if too many are under way."""
        if len(self._jobs) >= self._most:
            self._take(self._jobs.popleft().result())
        self._jobs.append(self._pool.submit(job))

    def finish(self) -> None:
        """Take the results that are left."""
        while self._jobs:
            self._take(self._jobs.popleft().result())

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def block_writer(out: Writable, codec: str, level: int, threads: int) -> Iterator[Writable]:
    """Open a writer that compresses with xz or bzip2, block by block, into `out`.

    Each block becomes a stream of its own, which every reader of these formats joins
    (the .xz format, 2; bzip2's manual, 2.5). Blocks are cut by position alone, so
    that threads do not change the bytes.
    """
    if codec == "xz":
        size = _XZ_BLOCK[level] * _MIB

        def pack(block: bytes) -> bytes:
            return lzma.compress(block, preset=level, check=lzma.CHECK_CRC64)
    else:
        size = level * 100_000  # one block of bzip2's own

        def pack(block: bytes) -> bytes:
            return bz2.compress(block, level)

    writer = _BlockWriter(out, size, pack, threads)
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


class _BlockWriter:
    def __init__(
        self, out: Writable, size: int, pack: Callable[[bytes], bytes], threads: int
    ) -> None:
        self._size = size
        self._pack = pack
        self._block = bytearray()
        self._jobs: InOrder[bytes] = InOrder(threads, out.write)

    def write(self, data: bytes, /) -> int:
        self._block += data
        while len(self._block) >= self._size:
            self._submit(self._size)
        return len(data)

    def finish(self) -> None:
        if self._block:
            self._submit(len(self._block))
        self._jobs.finish()

    def close(self) -> None:
        self._jobs.close()

    def _submit(self, size: int) -> None:
        block = bytes(self._block[:size])
        del self._block[:size]
        self._jobs.submit(lambda: self._pack(block))
