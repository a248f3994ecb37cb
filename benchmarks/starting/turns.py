"""All starts with one engine: methods take turns, and what was measured becomes records."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.building.filling import repository
from benchmarks.building.making import TAG
from benchmarks.catalogue import Workload
from benchmarks.demo import say
from benchmarks.link import Link, shaped_link
from benchmarks.machine import machine, versions
from benchmarks.records import Record, Results
from benchmarks.starting.engines import Engine
from benchmarks.starting.measuring import Measures, Pushed, Start, pushed

Subject = tuple[Workload, str]
"""A workload, and the method that made its image."""
Place = tuple[str, str, str]
"""Workload, method, case."""

WARM, COLD = "image here, in memory", "image here, not in memory"
_TRANSFER = ("pull", "download")
_IMPORTS = ("first-byte", "first-answer")
_LINK_SECONDS = 2  # of the transfer that shows what a link really carries
COMMANDS = {
    "docker": (
        "docker pull HOST:PORT/METHOD/WORKLOAD:1",
        "docker create --name NAME HOST:PORT/METHOD/WORKLOAD:1",
        "docker start NAME",
    ),
    "podman": (
        "podman pull --tls-verify=false HOST:PORT/METHOD/WORKLOAD:1",
        "podman create --name NAME HOST:PORT/METHOD/WORKLOAD:1",
        "podman start NAME",
    ),
    "containerd": (
        "ctr images pull --plain-http HOST:PORT/METHOD/WORKLOAD:1",
        "ctr containers create --with-ns network:FILE HOST:PORT/METHOD/WORKLOAD:1 NAME",
        "ctr tasks start --detach --log-uri FILE NAME",
    ),
}


@dataclass
class Turns:
    """Measures starts of the images of `registry`, each `runs` times, over each link.

    links: name -> bit/s; at the last one, images are started from here as well.
    """

    runs: int
    registry: Path
    links: Mapping[str, int]
    found: dict[Place, dict[str, list[float]]] = field(default_factory=dict)
    sizes: dict[Place, int] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def all(self, name: str, engine: Engine, subjects: Sequence[Subject]) -> Iterator[Results]:
        """Go through all links with one engine; yield what there is after each start."""
        self.versions[name] = engine.version
        for link_name, rate in self.links.items():
            last = link_name == tuple(self.links)[-1]
            with shaped_link(rate, self.registry) as link:
                carried = link.reached_bits(rate // 8 * _LINK_SECONDS) / 8
                self.rates.setdefault(link_name, []).append(carried)
                for number in range(self.runs):
                    for subject in subjects:
                        say(f"run {number + 1}, {name}, {link_name}: {_shown(subject)}")
                        self._one(subject, engine, link, (name, link_name), last=last)
                        yield self.results()

    def _one(
        self, subject: Subject, engine: Engine, link: Link, case: tuple[str, str], *, last: bool
    ) -> None:
        workload, method = subject
        image = pushed(f"{link.address}/{repository(method, workload.name)}:{TAG}")
        start = Start(engine, workload, image, self.registry)
        self.add(subject, ", ".join(case), start.from_far(link), image)
        if last:
            for words, cold in ((WARM, False), (COLD, True)):
                place = f"{case[0]}, {words}"
                self.add(subject, place, start.from_here(cold=cold), image)
                self.add(subject, place, start.imports(cold=cold), image)
        engine.forget(image.reference)

    def add(self, subject: Subject, case: str, measures: Measures, image: Pushed) -> None:
        """Take what was measured of an image."""
        place = (subject[0].name, subject[1], case)
        self.sizes[place] = image.size
        kept = self.found.setdefault(place, {})
        for metric, value in measures.items():
            kept.setdefault(metric, []).append(value)

    def results(self) -> Results:
        """Return everything until now."""
        used = [name for name in COMMANDS if any(f"{name}, " in case for *_, case in self.found)]
        rates = [
            Record("link", "tcp", "link", tuple(values), name, limit=self.links[name] / 8)
            for name, values in self.rates.items()
        ]
        return Results(
            part="start",
            machine=machine(),
            versions={**versions(), **self.versions},
            channel="local",
            commands={name: COMMANDS[name] for name in used},
            records=(*rates, *self._records()),
        )

    def _records(self) -> Iterator[Record]:
        for (workload, method, case), kept in self.found.items():
            for metric, values in kept.items():
                record = Record(workload, method, metric, tuple(values), case)
                yield replace(record, **self._limit(record))

    def _limit(self, record: Record) -> dict[str, Any]:
        """Return what a record cannot go below, as its fields; {} where that is not known.

        Transfer at the link's rate; imports in a container of the same image, when its files
        are in memory, or are not.
        """
        engine, _, where = record.case.partition(", ")
        rate = self.links.get(where)
        imports = self._imports(record, f"{engine}, {WARM if rate else where}")
        transfer = 8 * self.sizes[record.workload, record.method, record.case] / (rate or 1)
        if record.metric == "fetched":
            size = self.sizes[record.workload, record.method, record.case]
            return {"limit": float(size), "limit_of": "the image's blobs"}
        if rate and record.metric in _TRANSFER:
            return {"limit": transfer, "limit_of": "transfer at the link's rate"}
        if rate and record.metric == "cold-start" and imports is not None:
            return {
                "limit": transfer + imports,
                "limit_of": "transfer at the link's rate, and imports",
            }
        if record.metric in _IMPORTS and imports is not None:
            return {"limit": imports, "limit_of": "imports"}
        return {}

    def _imports(self, record: Record, case: str) -> float | None:
        """Return the seconds of imports; 0.0 for what has none, None when not measured yet."""
        kept = self.found.get((record.workload, record.method, case))
        if kept is None:
            return None
        return statistics.median(kept["import"]) if "import" in kept else 0.0


def _shown(subject: Subject) -> str:
    return f"{subject[0].name}, {subject[1]}"
