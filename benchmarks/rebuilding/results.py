"""What was measured, as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.rebuilding.methods import (
    APPLICATION,
    CASES,
    METHODS,
    NAIVE,
    ONE_PURE,
    OURS,
    PACKED,
    SAME,
    Step,
)
from slimpack.cli.table import megabytes

REFERENCE_SECONDS = 23.0
"""conda-pack and docker build after one pure package changed, on the machine of the targets."""
TARGETS = {SAME: 0.7, APPLICATION: 0.7, ONE_PURE: 1.5}
"""Case -> seconds that slimpack may take on that machine."""
REFERENCE = (PACKED, ONE_PURE)


@dataclass
class Runs:
    """All runs of one way in one case; `Step` tells the units.

    sent: bytes that came to the registry. layers: how many of them were layers it had not
    had. changed: slimpack's names of these.
    """

    build: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    changed: list[list[str]] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    stages: list[Mapping[str, float]] = field(default_factory=list)

    def add(self, step: Step, sent: int, fresh: Sequence[str]) -> None:
        """Add a run; `fresh`: digests of layers that the registry had not had."""
        self.build.append(step.build)
        self.push.append(step.push)
        self.cpu.append(step.cpu)
        self.memory.append(step.memory)
        self.sent.append(sent)
        self.layers.append(len(fresh))
        if step.told:
            rows = [row for row in step.told["layers"] if row["digest"] in fresh]
            self.changed.append([row["name"] for row in rows])
            self.reused.append(step.told["reused"])
            self.stages.append(dict(step.told["stages"]))

    def to_json(self) -> dict[str, Any]:
        """Return it without what is not there."""
        return {name: value for name, value in asdict(self).items() if value}


Found = Mapping[tuple[str, str], Runs]
"""(method, case) -> runs, in the order of the table."""


def ratios(found: Found) -> dict[str, dict[str, float]]:
    """Return case -> method -> build seconds over those of `REFERENCE`; {} without it."""
    if REFERENCE not in found:
        return {}
    reference = statistics.median(found[REFERENCE].build)
    return {
        case: {
            method: statistics.median(found[method, case].build) / reference
            for method in METHODS
            if (method, case) in found
        }
        for case in CASES
    }


def to_json(found: Found) -> dict[str, Any]:
    """Return everything, by case and method."""
    return {
        "targets": {case: limit / REFERENCE_SECONDS for case, limit in TARGETS.items()},
        "ratios": ratios(found),
        "runs": {
            case: {
                method: found[method, case].to_json()
                for method in METHODS
                if (method, case) in found
            }
            for case in CASES
        },
    }


def table(found: Found) -> Iterator[str]:
    """Yield the lines of the table."""
    head = ("case", "way", "build, s", "push, s", "ratio", "target", "CPU, s", "memory, MB")
    columns = (*head, "sent, MB", "of conda-pack's", "new layers")
    yield f"| {' | '.join(columns)} |"
    yield "| --- | --- |" + " ---: |" * (len(columns) - 2)
    compared = ratios(found)
    for case in CASES:
        for method in METHODS:
            if (method, case) in found:
                yield f"| {' | '.join(_cells(found, compared, method, case))} |"


def _cells(
    found: Found, compared: Mapping[str, Mapping[str, float]], method: str, case: str
) -> Iterator[str]:
    runs = found[method, case]
    ours = method in OURS
    push = f"{statistics.median(runs.push):.2f}"
    ratio = compared.get(case, {}).get(method)
    yield case
    yield method
    yield f"{statistics.median(runs.build):.2f}"
    yield f"({push})" if ours else push
    yield "" if ratio is None else f"{ratio:.3f}"
    yield f"{TARGETS[case] / REFERENCE_SECONDS:.3f}" if ours and case in TARGETS else ""
    yield f"{statistics.median(runs.cpu):.1f}"
    yield megabytes(int(statistics.median(runs.memory))) if ours else ""
    sent = statistics.median(runs.sent)
    yield f"{sent / 1e6:.3f}"
    theirs = statistics.median(found[PACKED, case].sent) if (PACKED, case) in found else 0
    yield f"{sent / theirs:.5f}" if theirs else ""
    yield f"{statistics.median(runs.layers):.0f}"


def explanation(found: Found) -> str:
    """Return what must be known to read the table."""
    count = len(next(iter(found.values())).build)
    return (
        f"Medians of {count} runs that took turns, whole processes with their start, on one "
        "machine. The model is made beforehand: it is a file of the application. slimpack's "
        "build solves, or reads a lock that was solved before, installs, builds and pushes with "
        "one command; the seconds of its push, in parentheses, are counted in the build. "
        f"{NAIVE} is one stage on Debian: a RUN installs a "
        "lock, from packages that are at hand, into one layer. The other is multi-stage: "
        "conda-pack (tar.gz, two threads) packs an environment that was installed beforehand, "
        "and only when it changed; BuildKit unpacks it and copies it to a distroless base. "
        "For both, solving is not counted, nor is installing for conda-pack. "
        f"Ratios are of the build to that of {PACKED} after one pure package changed; targets "
        "are the seconds asked for on another machine over what conda-pack and docker build "
        "take there. CPU is of the engine, too. Memory is the peak of the largest process. "
        "Sent is what was new in the registry, manifests too."
    )
