"""The part ``start`` of ``python -m benchmarks run``: cold start, by method, engine and link.

Every method's image is put into a registry. That registry is then served over a link of a
certain speed, and each engine pulls each image, starts it and asks it, in turn, with nothing of
the image here or in memory. At the fastest link, images are also started when they are here
already, with their files in memory and without, and their modules are imported.

``--case`` takes the name of an engine or of a link, more than once for several.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.building.filling import fill
from benchmarks.catalogue import Workload, methods, workloads
from benchmarks.demo import ROOT, say
from benchmarks.link import LINKS, PROGRAMS
from benchmarks.parts import Ask
from benchmarks.records import Results
from benchmarks.setup.apt import install
from benchmarks.setup.peers import PEERS
from benchmarks.starting.daemons import ENGINES
from benchmarks.starting.page import markdown
from benchmarks.starting.turns import Turns
from slimpack.errors import InputError

__all__ = ["markdown", "measure"]

WORK = ROOT / "build" / "bench-start"
METHODS = ("naive", "best", "safe", "tight")
RUNS = 3
MAIN_WORKLOAD, MAIN_ENGINE = "w1", "docker"
"""What all engines are measured with, and the engine that all workloads are measured with."""
QUICK_WORKLOAD = "w0"
_NEEDED = (*PROGRAMS, "podman")  # Docker's package brings containerd


@dataclass(frozen=True)
class Plan:
    """What is measured. links: those of `LINKS`. pairs: (engine, workload)."""

    workloads: Mapping[str, Workload]
    methods: tuple[str, ...]
    links: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    runs: int


def measure(ask: Ask) -> Iterator[Results]:
    """Fill a registry, measure what is asked for, and yield what there is after each start."""
    made = plan(ask)
    install(sorted({PEERS[name] for name in _NEEDED if shutil.which(name) is None}))
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        registry = WORK / "registry"
        chosen = [methods()[name] for name in made.methods]
        filled = fill(registry, made.workloads.values(), chosen, WORK / "made")
        yield from measured(made, registry, frozenset(filled))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def measured(made: Plan, registry: Path, filled: frozenset[tuple[str, str]]) -> Iterator[Results]:
    """Measure the images of a registry's folder. filled: (method, workload) that it has."""
    turns = Turns(made.runs, registry, {name: LINKS[name] for name in made.links})
    for engine, names in _by_engine(made).items():
        subjects = [
            (workload, method)
            for workload in (made.workloads[name] for name in names)
            for method in made.methods
            if (method, workload.name) in filled
        ]
        say(f"starts with {engine}")
        folder = WORK / engine
        folder.mkdir(parents=True)
        with ENGINES[engine](folder) as running:
            yield from turns.all(engine, running, subjects)


def plan(ask: Ask) -> Plan:
    """Return what is measured; InputError for a case that is neither an engine nor a link."""
    unknown = set(ask.cases) - ENGINES.keys() - LINKS.keys()
    if unknown:
        known = ", ".join((*ENGINES, *LINKS))
        raise InputError(f"no case {min(unknown)!r}", hint=f"known: {known}")
    chosen = workloads(ask.workloads or ((QUICK_WORKLOAD,) if ask.quick else ()), started=True)
    ways = tuple(name for name in methods() if name in (ask.methods or METHODS))
    links = tuple(name for name in LINKS if name in ask.cases)
    engines = tuple(name for name in ENGINES if name in ask.cases)
    everywhere = bool(engines or ask.workloads)
    pairs = tuple(
        (engine, name)
        for engine in engines or ((MAIN_ENGINE,) if ask.quick else tuple(ENGINES))
        for name in chosen
        if everywhere or engine == MAIN_ENGINE or name == MAIN_WORKLOAD
    )
    return Plan(
        workloads=chosen,
        methods=ways if ask.methods or not ask.quick else ("best", "safe"),
        links=links or (tuple(LINKS)[:1] if ask.quick else tuple(LINKS)),
        pairs=pairs,
        runs=ask.runs or (1 if ask.quick else RUNS),
    )


def _by_engine(made: Plan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for engine, workload in made.pairs:
        found.setdefault(engine, []).append(workload)
    return found
