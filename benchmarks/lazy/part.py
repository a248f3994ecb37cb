"""The part ``lazy`` of ``python -m benchmarks run``: starts before the image is there.

A workload is built once for each form of layers and pushed to a registry, which is then served
over links. Each start has a new containerd with a new stargz-snapshotter. Forms take turns.

``--case`` takes the name of a link, more than once for several.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.catalogue import Workload, workloads
from benchmarks.demo import ROOT, say
from benchmarks.lazy.engine import set_up, versions
from benchmarks.lazy.images import Form, build_options, forms, push, reference
from benchmarks.lazy.page import markdown
from benchmarks.lazy.starts import start
from benchmarks.link import LINKS, shaped_link
from benchmarks.machine import machine
from benchmarks.machine import versions as own_versions
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.setup.registry import docker_registry
from benchmarks.starting.measuring import pushed
from slimpack.errors import InputError

__all__ = ["markdown", "measure"]

WORK = ROOT / "build" / "bench-lazy"
WORKLOADS = ("w1", "w2")
"""One whose start reads most of its image, and one that reads half of it."""
RUNS = 3

Place = tuple[str, str, str, str]
"""Workload, method, metric, case."""


def measure(ask: Ask) -> Iterator[Results]:
    """Build, push, start in turns; yield what there is after each start."""
    links = _links(ask)
    chosen = [form for name, form in forms().items() if name in (ask.methods or forms())]
    subjects = workloads(ask.workloads or (WORKLOADS[1:] if ask.quick else WORKLOADS), started=True)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        program = set_up(WORK)
        registry = WORK / "registry"
        found: dict[Place, list[float]] = {}
        with docker_registry(registry) as host:
            for workload in subjects.values():
                push(workload, chosen, host, WORK / "made")
                for form in chosen:
                    size = pushed(reference(host, workload, form)).size
                    found[workload.name, form.name, "compressed", ""] = [size]
        yield results(found, chosen)
        for case, rate in links.items():
            with shaped_link(rate, registry) as link:
                for number in range(ask.runs or (1 if ask.quick else RUNS)):
                    for workload, form in _pairs(subjects, chosen):
                        say(f"run {number + 1}, {case}: {workload.name}, {form.name}")
                        measured = start(program, WORK / "engine", workload, form, link)
                        for metric, value in measured.items():
                            place = (workload.name, form.name, metric, case)
                            found.setdefault(place, []).append(value)
                        yield results(found, chosen)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _links(ask: Ask) -> dict[str, int]:
    """Return the links that are asked for; InputError for one that there is not."""
    unknown = set(ask.cases) - LINKS.keys()
    if unknown:
        raise InputError(f"no case {min(unknown)!r}", hint=f"known: {', '.join(LINKS)}")
    names = ask.cases or (tuple(LINKS)[:1] if ask.quick else tuple(LINKS))
    return {name: rate for name, rate in LINKS.items() if name in names}


def _pairs(subjects: Mapping[str, Workload], chosen: list[Form]) -> list[tuple[Workload, Form]]:
    return [(workload, form) for workload in subjects.values() for form in chosen]


def results(found: Mapping[Place, list[float]], chosen: list[Form]) -> Results:
    return Results(
        part="lazy",
        machine=machine(),
        versions={**own_versions(), **versions()},
        channel="local",
        commands={form.name: _commands(form) for form in chosen},
        records=tuple(_record(place, values, found) for place, values in found.items()),
    )


def _record(place: Place, values: list[float], found: Mapping[Place, list[float]]) -> Record:
    """Return a record, with the limit: the bytes of the image at the link's rate."""
    workload, method, metric, case = place
    size = found[workload, method, "compressed", ""][0]
    whole = {"fetched": size, "pull": 8 * size / LINKS[case]} if case else {}
    limit = whole.get(metric)
    why = "the whole image" if metric == "fetched" else "the whole image at the link's rate"
    return Record(
        *(workload, method, metric, tuple(values), case),
        limit=limit,
        limit_of=why if limit else "",
    )


def _commands(form: Form) -> tuple[str, ...]:
    trace = Path("start.json") if form.traced else None
    image = f"HOST:PORT/{form.repository}/WORKLOAD:1"
    pull = "ctr-remote images rpull" if form.mounted else "ctr images pull"
    return (
        f"slimpack build {' '.join(build_options(form, trace))} --push {image}",
        f"{pull} --plain-http {image}",
        f"ctr containers create --snapshotter {'stargz' if form.mounted else 'overlayfs'} "
        f"--with-ns network:FILE {image} NAME",
        "ctr tasks start --detach NAME",
    )
