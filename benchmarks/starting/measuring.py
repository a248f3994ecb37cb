"""One start, measured in its parts: pulled, created, started, asked; and what it then takes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.building.pushed import blob_file, manifest
from benchmarks.catalogue import Workload
from benchmarks.link import Link
from benchmarks.running import RunError
from benchmarks.slimming.inside import IMPORTS
from benchmarks.starting.asking import Answered, ask_service, run_command
from benchmarks.starting.engines import Engine, files_of
from benchmarks.starting.memory import charged, proportional
from benchmarks.starting.pages import drop

Measures = dict[str, float]
"""Metric -> value, in the metric's unit."""


@dataclass(frozen=True)
class Pushed:
    """An image of a registry. size: bytes of its layers and its config. blobs: their digests."""

    reference: str
    size: int
    blobs: tuple[str, ...]


def pushed(reference: str) -> Pushed:
    """Ask the registry for HOST/NAME:TAG; errors of urllib when it has none."""
    whole = manifest(reference)
    # A layer that is there twice is transferred once.
    sizes = {part["digest"]: int(part["size"]) for part in (whole["config"], *whole["layers"])}
    return Pushed(reference, sum(sizes.values()), tuple(sizes))


@dataclass(frozen=True)
class Start:
    """Starts the image `pushed` of a workload by an engine.

    registry: the folder of the registry at the far end of the link, which is to answer as
    another machine does: it has the image in memory, whatever this one has dropped.
    """

    engine: Engine
    workload: Workload
    pushed: Pushed
    registry: Path

    def from_far(self, link: Link) -> Measures:
        """Pull the image over the link, start it and ask; nothing of it is here, or in memory."""
        self.engine.forget(self.pushed.reference)
        self._drop(*(blob_file(self.registry, digest) for digest in self.pushed.blobs))
        before = link.received_bytes()
        pulled = self.engine.pull(self.pushed.reference)
        check_whole(link.received_bytes() - before, self.pushed)
        found: Measures = {"pull": pulled.seconds}
        if pulled.download is not None and pulled.unpack is not None:
            found |= {"download": pulled.download, "unpack": pulled.unpack}
        found |= self._run(memory=True)
        found["fetched"] = link.received_bytes() - before
        found["cold-start"] = found["pull"] + found["create"] + found["first-answer"]
        return found

    def from_here(self, *, cold: bool) -> Measures:
        """Start the image, which is here; cold: none of its files are in memory."""
        if cold:
            self._drop()
        return self._run(memory=False)

    def imports(self, *, cold: bool) -> Measures:
        """Import the workload's modules in the image; {} where it has none."""
        if not self.workload.modules:
            return {}
        if cold:
            self._drop()
        code = ("-c", IMPORTS, *self.workload.modules)
        with self._named() as name:
            told = self.engine.python(self.pushed.reference, name, code)
        wall, _ = json.loads(told.splitlines()[-1])
        return {"import": wall}

    def _drop(self, *more: Path) -> None:
        """Empty the page cache; the engine's own programs are there again, as with any use."""
        drop((*files_of(self.engine.programs), *more))

    def _run(self, *, memory: bool) -> Measures:
        with self._named() as name:
            begun = time.monotonic()
            self.engine.create(self.pushed.reference, name)
            created = time.monotonic()
            answered = self._ask(name)
            found: Measures = {
                "create": created - begun,
                "first-byte": answered.first_byte - created,
                "first-answer": answered.first_answer - created,
            }
            return {**found, **(self._memory(name) if memory else {})}

    def _ask(self, name: str) -> Answered:
        """Start a container and ask it, or take what it prints."""
        asked = self.workload.request
        if not asked.path:
            return run_command(self.engine.attached(name), asked)
        self.engine.start(name)
        address = self.engine.running(name).address
        return ask_service(address, self.workload.port, asked, lambda: self.engine.logs(name))

    def _memory(self, name: str) -> Measures:
        """Return what a service takes; what only prints something has ended."""
        if not self.workload.request.path:
            return {}
        pid = self.engine.running(name).pid
        found: Measures = {"resident": proportional(pid)}
        of_cgroup = charged(pid)
        return found if of_cgroup is None else {**found, "charged": of_cgroup}

    @contextmanager
    def _named(self) -> Iterator[str]:
        """Give a name to a container, which is gone afterwards."""
        name = f"slimpack-start-{uuid.uuid4().hex[:12]}"
        try:
            yield name
        finally:
            self.engine.remove(name)


def check_whole(received: int, image: Pushed) -> None:
    """See that all of an image came over the link; RunError where parts of it were here before."""
    if received < image.size:
        raise RunError(
            f"{received} bytes of the {image.size} of {image.reference} were pulled: "
            "the engine had the others, and such a start is not cold"
        )
