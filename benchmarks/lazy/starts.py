"""One start over a link: pulled or mounted, created, started, asked; and what was fetched."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from pathlib import Path

from benchmarks.catalogue import Workload
from benchmarks.lazy.engine import Containerd, containerd
from benchmarks.lazy.images import Form, reference
from benchmarks.link import Link
from benchmarks.running import RunError, request

Measures = dict[str, float]
"""Metric -> value, in the metric's unit."""

_CONTAINER = "started"
_PAUSE = 0.005
_SECONDS = 600.0
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


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
            _ask(engine, workload)
            answered, received = time.monotonic(), link.received_bytes()
        finally:
            engine.remove(_CONTAINER)
        if form.mounted and engine.fetched_blobs() > 2:  # the manifest and the configuration
            raise RunError(f"{name} was fetched and not mounted: {engine.folder}/lazy.log")
    return {
        "cold-start": answered - begun,
        "pull": pulled - begun,
        "create": created - pulled,
        "first-answer": answered - created,
        "fetched": received - before,
    }


def compressed(name: str) -> int:
    """Return the bytes of an image, HOST/REPOSITORY:TAG, as its manifest tells them."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.rpartition(":")
    place = f"http://{host}/v2/{repository}/manifests/{tag}"
    asked = urllib.request.Request(place, headers={"Accept": _MANIFEST})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        manifest = json.load(answer)
    parts = (manifest["config"], *manifest["layers"])
    return sum({part["digest"]: int(part["size"]) for part in parts}.values())


def _ask(engine: Containerd, workload: Workload) -> None:
    """Ask until the answer is the good one; RunError when that takes too long."""
    url = f"http://{engine.address}:{workload.port}{workload.request.path}"
    end = time.monotonic() + _SECONDS
    last: object = "nobody listens"
    while time.monotonic() < end:
        try:
            last = request(url, workload.request.body)
            if workload.request.is_answered_by(last):
                return
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = error
        time.sleep(_PAUSE)
    raise RunError(f"no good answer from {url}: {last}\n{engine.logs()}")
