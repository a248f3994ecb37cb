"""The parts of the benchmark, and how each is run: results are kept as soon as they are there.

A part is a module with two functions: ``measure(ask)``, which yields `Results` whenever some
are ready, and ``markdown(results)``, which returns the part's page. Modules are imported when
they are run: what one part needs, others do without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from benchmarks.demo import ROOT
from benchmarks.records import Results, read_results, update_results
from slimpack.files import atomic_file

RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "pictures"


@dataclass(frozen=True)
class Ask:
    """What somebody wants measured; empty names mean all that the part has.

    runs: of everything that takes time, None for the part's own number. quick: what shows
    most in a minute or two. full: the largest sizes, too. channel: name or URL, "" for
    conda-forge or the local one.
    """

    workloads: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    runs: int | None = None
    quick: bool = False
    full: bool = False
    channel: str = ""


class Part(Protocol):
    """What the module of a part has."""

    def measure(self, ask: Ask) -> Iterator[Results]:
        """Yield results as soon as some are ready."""

    def markdown(self, results: Results) -> str:
        """Return the page: tables, and what one must know to read them."""


PARTS: Mapping[str, str] = {
    "images": "benchmarks.building.images",
    "builds": "benchmarks.building.builds",
    "start": "benchmarks.starting.part",
    "lazy": "benchmarks.lazy.part",
    "scale": "benchmarks.scaling.part",
}
"""Part -> its module, in the order in which `make bench` runs them."""


def load(name: str) -> Part:
    """Import a part."""
    return cast("Part", import_module(PARTS[name]))


def run(name: str, ask: Ask, folder: Path = RESULTS) -> Results:
    """Measure a part, keeping every result at once; return all that its file holds now."""
    part = load(name)
    whole = Results(part=name)
    for newer in part.measure(ask):
        whole = update_results(newer, folder)
        write_page(part, whole, folder)
    return whole


def rewrite(name: str, folder: Path = RESULTS) -> bool:
    """Write a part's page anew from its results; tell whether there are any."""
    path = folder / f"{name}.json"
    if path.exists():
        write_page(load(name), read_results(path), folder)
    return path.exists()


def write_page(part: Part, results: Results, folder: Path) -> None:
    """Write a part's page."""
    with atomic_file(folder / f"{results.part}.md", durable=False) as stream:
        stream.write(part.markdown(results).encode())
