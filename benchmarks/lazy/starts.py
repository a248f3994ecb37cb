"""One start over a link: pulled or mounted, created, started, asked; and what was fetched."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.catalogue import Workload
from benchmarks.lazy.engine import containerd
from benchmarks.lazy.images import Form, reference
from benchmarks.link import Link
from benchmarks.running import RunError
from benchmarks.starting.asking import ask_service
from benchmarks.starting.measuring import Measures

_CONTAINER = "started"


def start(program: Path, folder: Path, workload: Workload, form: Form, link: Link) -> Measures:
    """Start an image of which nothing is here. program: the snapshotter. folder: for the engine.

    Raises RunError when it does not answer, and when layers were fetched as a whole that
    should have been mounted.
    """
    with containerd(program, folder, link.address) as engine:
        name = reference(link.address, workload, form)
        before, begun = link.received_bytes(), time.monotonic()
        engine.pull(name, mounted=form.mounted)
        pulled = time.monotonic()
        engine.create(name, _CONTAINER, mounted=form.mounted)
        created = time.monotonic()
        try:
            engine.start(_CONTAINER)
            ask_service(engine.address, workload.port, workload.request, engine.logs)
            answered, received = time.monotonic(), link.received_bytes()
        finally:
            engine.remove(_CONTAINER)
        if form.mounted and engine.fetched_blobs() > 2:  # the manifest and the configuration
            raise RunError(f"{name} was fetched and not mounted:\n{engine.told()}")
    return {
        "cold-start": answered - begun,
        "pull": pulled - begun,
        "create": created - pulled,
        "first-answer": answered - created,
        "fetched": received - before,
    }
