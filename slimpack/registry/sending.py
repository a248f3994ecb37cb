"""Blobs on their way into a repository, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slimpack.oci.digest import ByteStream
from slimpack.progress import Task
from slimpack.registry.client import Registry
from slimpack.registry.parallel import run_all

MAX_SOURCES = 3
"""Repositories to mount a blob from; each that lacks it costs two requests."""


@dataclass(frozen=True)
class Waiting:
    """A blob to send. open: gives its bytes, again for each try.

    source: a repository of the same registry that has it, "" where nobody knows one.
    """

    digest: str
    size: int
    open: Callable[[], ByteStream]
    source: str = ""


@dataclass
class Count:
    """Bytes of blobs that travelled, that were mounted, and that were there."""

    sent: int = 0
    mounted: int = 0
    present: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Sending:
    """A repository that takes blobs. sources: others to mount them from."""

    registry: Registry
    repository: str
    sources: tuple[str, ...]

    def send(
        self, blobs: Sequence[Waiting], count: Count, task: Task, stop: Callable[[], None]
    ) -> None:
        """Bring all blobs there; raise what the first of them meets."""

        def advance(amount: int) -> None:
            with count.lock:
                task.advance(amount)

        def job(blob: Waiting) -> Callable[[], None]:
            return lambda: self._send_one(blob, count, advance)

        run_all([job(blob) for blob in blobs], stop=stop)

    def _send_one(self, blob: Waiting, count: Count, advance: Callable[[int], None]) -> None:
        if self.registry.has_blob(self.repository, blob.digest) is not None:
            advance(blob.size)
            with count.lock:
                count.present += blob.size
            return
        known = (blob.source, *self.sources) if blob.source else self.sources
        sent = self.registry.upload_blob(
            self.repository,
            blob.digest,
            blob.size,
            blob.open,
            sources=tuple(dict.fromkeys(known))[:MAX_SOURCES],
            advance=advance,
        )
        if not sent:
            advance(blob.size)
        with count.lock:
            count.sent += blob.size if sent else 0
            count.mounted += 0 if sent else blob.size
