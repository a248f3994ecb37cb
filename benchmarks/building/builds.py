"""Part ``builds``: what a build and a rebuild cost, by each method, and the bytes sent again.

Each workload is built from nothing, and then once more each time after nothing, a line of the
application, a pure package or a heavy package has changed. Each method pushes to a registry of
its own. The methods take turns, and the whole is repeated; medians are compared. The limit of a
build from nothing is ``tar | zstd`` of the files that its image has.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.building.filling import repository
from benchmarks.building.limit import PACKING, opened, packing_seconds
from benchmarks.building.making import (
    APPLICATION,
    CASES,
    COLD,
    EMPTY,
    ONE_HEAVY,
    ONE_PURE,
    SAME,
    TAG,
    Maker,
)
from benchmarks.building.methods import (
    commands,
    in_order,
    maker,
    reason_against,
    set_up,
    wanted,
)
from benchmarks.building.project import Project
from benchmarks.building.pushed import arrived, layers, stored
from benchmarks.catalogue import Method, Workload, workloads
from benchmarks.demo import ROOT, say
from benchmarks.machine import machine, versions
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.setup.registry import docker_registry
from benchmarks.tables import absent, facts, records_table

WORK = ROOT / "build" / "bench-builds"
REFERENCE = "best"
RUNS = 3
QUICK = Ask(("w0",), ("best", "safe", "unverified"), (COLD, SAME, APPLICATION, ONE_PURE), runs=1)
COLUMNS = ("total", "beforehand", "build", "push", "cpu", "memory", "sent", "new-layers")
_NOTE = """\
Medians of runs in which the methods took turns, whole processes with their start. What the \
application's prepare makes is made beforehand. slimpack solves (or reads a lock that was solved \
before), installs, builds, verifies and pushes with one command, whose push is told apart. \
Dockerfiles install from a lock that was solved before, which is not counted; conda-pack packs an \
environment that was installed before, from unpacked packages as slimpack does: not counted \
either, but measured (beforehand). All layers of a Dockerfile are compressed while they are \
pushed, so build and push are to be compared together. Processor time has the engine's and what \
it ran. Memory is the peak of the largest process, for Dockerfiles of the engine too. Sent is what \
was new in the registry, manifests too. Cold has the packages at hand, for slimpack in a cache \
that has nothing else. Ratios are of build and push to those of conda-pack in the same case; the \
limit of a cold build is to pack the same files."""


@dataclass
class Runs:
    """All runs of a method in a case, as the metrics have them: seconds and bytes."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Add a run."""
        for metric, value in values.items():
            self.values.setdefault(metric.replace("_", "-"), []).append(value)


Found = Mapping[tuple[str, str], Runs]
"""(method, case) -> runs."""


def measure(ask: Ask) -> Iterator[Results]:
    """Measure the workloads one by one."""
    default = QUICK if ask.quick else Ask(runs=RUNS)
    chosen = wanted(ask.methods or default.methods, "builds")
    asked = ask.cases or default.cases or CASES
    cases = tuple(case for case in CASES if case in asked)
    runs = ask.runs or default.runs or RUNS
    reasons: dict[str, str] = {}
    shutil.rmtree(WORK, ignore_errors=True)
    try:
        with set_up(chosen, WORK):
            for workload in workloads(ask.workloads or default.workloads, started=True).values():
                bench = Bench(Project(workload, WORK / workload.name / "project"), cases)
                records = bench.measured(chosen, runs, reasons)
                yield Results(
                    part="builds",
                    machine=machine(),
                    versions=versions("docker", "tar", "zstd"),
                    channel="local",
                    commands=commands(chosen),
                    notes=(_NOTE,),
                    reasons=dict(reasons),
                    records=records,
                )
                shutil.rmtree(WORK / workload.name, ignore_errors=True)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


@dataclass(frozen=True)
class Bench:
    """Measures a workload in the folder of its project. cases: those that are wanted."""

    project: Project
    cases: Sequence[str]

    @property
    def workload(self) -> Workload:
        """What is built."""
        return self.project.workload

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.project.folder.parent

    def measured(
        self, chosen: Sequence[Method], runs: int, reasons: dict[str, str]
    ) -> tuple[Record, ...]:
        """Go through all cases with all methods, `runs` times.

        reasons: gets why a method does not make this workload.
        """
        self.project.make()
        self.project.solve()
        makers: dict[str, Maker] = {}
        for method in chosen:
            reason = reason_against(method, self.project)
            if reason:
                reasons[f"{self.workload.name.upper()}, {method.title}"] = reason
            else:
                makers[method.name] = maker(method, self.project, self.folder / method.name)
        found = {
            (name, case): Runs()
            for case in self.cases
            for name, one in makers.items()
            if case in one.cases and self._has(case)
        }
        limits: dict[str, float] = {}
        for number in range(runs):
            say(f"{self.workload.name}: run {number + 1} of {runs}")
            self.repetition(makers, found, limits)
        return tuple(records(self.workload.name, found, limits))

    def _has(self, case: str) -> bool:
        """Tell whether the workload names the package that changes."""
        names = {ONE_PURE: self.workload.pure, ONE_HEAVY: self.workload.heavy}
        return bool(names.get(case, "yes"))

    def repetition(
        self, makers: Mapping[str, Maker], found: Found, limits: dict[str, float]
    ) -> None:
        """Go through the cases once. limits: gets that of each method, where it has none yet."""
        with ExitStack() as stack:
            hosts = {}
            for name in makers:
                shutil.rmtree(self._registry(name), ignore_errors=True)
                hosts[name] = stack.enter_context(docker_registry(self._registry(name)))
                stack.callback(makers[name].clean, self._reference(hosts[name], name))
            for case in CASES:
                # What later cases start from is made, even if it is not asked for.
                todo = [name for name in makers if (name, case) in found or case == COLD]
                if todo:
                    self.project.change(case)
                for name in todo:
                    say(f"{self.workload.name}: {case}: {name}")
                    seconds = makers[name].prepare(case)
                    runs = found.get((name, case), Runs())
                    if seconds:
                        runs.add(beforehand=seconds)
                    if case == EMPTY:
                        self._into_an_empty_registry(name, makers[name], runs)
                        continue
                    reference = self._reference(hosts[name], name)
                    self._once(makers[name], case, reference, self._registry(name), runs)
                    if case == COLD and name not in limits:
                        with opened(self.project, reference, self.folder / "opened") as image:
                            limits[name] = packing_seconds(image.root)

    def _into_an_empty_registry(self, name: str, one: Maker, runs: Runs) -> None:
        folder = self._registry("empty")
        with docker_registry(folder) as host:
            self._once(one, EMPTY, self._reference(host, name), folder, runs)
        shutil.rmtree(folder)

    @staticmethod
    def _once(one: Maker, case: str, reference: str, registry: Path, runs: Runs) -> None:
        """Build once, push, look at what the registry has got."""
        before = stored(registry)
        step = one.run(case, reference)
        digests = [digest.removeprefix("sha256:") for digest in layers(reference)]
        runs.add(
            total=step.build + step.push,
            build=step.build,
            push=step.push,
            cpu=step.cpu,
            memory=step.memory,
            sent=arrived(before, stored(registry)),
            new_layers=sum(digest not in before for digest in digests),
        )

    def _registry(self, name: str) -> Path:
        return self.folder / "registries" / name

    def _reference(self, host: str, name: str) -> str:
        return f"{host}/{repository(name, self.workload.name)}:{TAG}"


def records(workload: str, found: Found, limits: Mapping[str, float]) -> Iterator[Record]:
    """Yield what was found as records; a cold build has its limit."""
    for (method, case), runs in found.items():
        for metric, values in runs.values.items():
            limit = limits.get(method) if (metric, case) == ("total", COLD) else None
            yield Record(
                workload,
                method,
                metric,
                tuple(values),
                case=case,
                limit=limit,
                limit_of=PACKING if limit else "",
            )


def markdown(results: Results) -> str:
    """Return the page of the part."""
    table = records_table(in_order(results, CASES), COLUMNS, reference=REFERENCE, limits=("total",))
    reasons = list(absent())
    head = ["", "Not measured:", "", *reasons] if reasons else []
    return "\n".join([*table, *head, *facts(results)]) + "\n"
