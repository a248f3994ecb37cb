"""What was measured of the workloads, as data, as JSON and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.slimming.bound import TOUCHED, Bound
from benchmarks.slimming.inside import Times
from slimpack.cli.table import megabytes

PROFILES = ("none", "safe", "serve", "tight", "traced")
ENVIRONMENT = "environment"
"""What the import times of images are compared with: the installed environment."""


@dataclass(frozen=True)
class Built:
    """An image of a workload. size, unpacked: bytes, as `slimpack build` tells them.

    checks: of the self-test, all passed in this image. stages: (name, seconds) of the build.
    """

    profile: str
    level: int
    size: int
    unpacked: int
    files: int
    checks: int
    stages: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Found:
    """All that is known of one workload. imports: by profile, and of `ENVIRONMENT`."""

    title: str
    built: tuple[Built, ...] = ()
    bounds: tuple[Bound, ...] = ()
    imports: tuple[tuple[str, Times], ...] = ()

    def updated(self, newer: Found) -> Found:
        """Return this with what is newer in the place of the same that was measured before."""
        rows = (*self.built, *newer.built)
        built = {(row.level, PROFILES.index(row.profile)): row for row in rows}
        bounds = {(bound.level, bound.of): bound for bound in (*self.bounds, *newer.bounds)}
        return Found(
            title=newer.title,
            built=tuple(built[key] for key in sorted(built)),
            bounds=tuple(sorted(bounds.values(), key=lambda bound: bound.level)),
            imports=newer.imports or self.imports,
        )

    def bound(self, level: int) -> Bound | None:
        """Return the bound that images of a level are compared with."""
        return next((b for b in self.bounds if (b.of, b.level) == (TOUCHED, level)), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**asdict(self), "imports": {name: asdict(times) for name, times in self.imports}}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Found:
        """Read what `to_json` gave."""
        return cls(
            title=value["title"],
            built=tuple(
                Built(**{**row, "stages": tuple((name, float(s)) for name, s in row["stages"])})
                for row in value["built"]
            ),
            bounds=tuple(Bound(**bound) for bound in value["bounds"]),
            imports=tuple((name, Times(**times)) for name, times in value["imports"].items()),
        )


_SIZES = """\
Whole images from the {channel} channel. Each passed its build's own proof (docs/verify.md), in
which the top-level modules of all packages are imported. Lines in italics are bounds: the
files that were touched in the image that is not slimmed, whole, with sources and bytecode
unless it is said otherwise, in the same layers, order and compression. A profile can be below
its bound: it may leave out sources and shorten libraries."""
_IMPORTS = """\
Import of what the service imports, in the image's own root file system, as a ratio to the
environment, installed and with bytecode for all of it: medians of runs that take turns. Below
1 the image is faster."""
_STAGES = "Stages of one build each, on a machine that had other work too."


def markdown(workloads: Mapping[str, Found], *, channel: str) -> str:
    """Return tables with what they mean: sizes and bounds, import times, stages."""
    titles = {f"{name.upper()}: {found.title}": found for name, found in workloads.items()}
    parts = (
        *(_sizes(titles), _SIZES.format(channel=channel)),
        *(_imports(titles), _IMPORTS),
        *(_stages(titles), _STAGES),
    )
    return "\n\n".join(p if isinstance(p, str) else "\n".join(p) for p in parts) + "\n"


def _sizes(titles: Mapping[str, Found]) -> Iterator[str]:
    yield from _head(
        *("workload", "profile", "level", "compressed, MB", "to the bound", "unpacked, MB"),
        *("files", "self-test"),
        words=2,
    )
    for title, found in titles.items():
        rows: tuple[Built | Bound, ...] = (*found.built, *found.bounds)
        for row in sorted(rows, key=lambda row: row.level):
            bound = found.bound(row.level)
            yield _row(
                title,
                row.profile if isinstance(row, Built) else f"*touched by {row.of}*",
                str(row.level),
                megabytes(row.size),
                f"{row.size / bound.size:.2f}" if bound else "",
                megabytes(row.unpacked),
                str(row.files),
                f"{row.checks} passed" if isinstance(row, Built) else "",
            )


def _imports(titles: Mapping[str, Found]) -> Iterator[str]:
    yield from _head("workload", "profile", "runs", "time, ratio", "processor time, ratio", words=2)
    for title, found in titles.items():
        times = dict(found.imports)
        for profile in [name for name in times if name != ENVIRONMENT]:
            own, base = times[profile], times[ENVIRONMENT]
            ratios = _ratio(own.wall, base.wall), _ratio(own.cpu, base.cpu)
            yield _row(title, profile, str(len(own.wall)), *ratios)


def _stages(titles: Mapping[str, Found]) -> Iterator[str]:
    names = [name for found in titles.values() for row in found.built for name, _ in row.stages]
    stages = list(dict.fromkeys(names))
    yield from _head("workload", "profile", "level", *(f"{name}, s" for name in stages), words=2)
    for title, found in titles.items():
        for row in found.built:
            seconds = dict(row.stages)
            cells = (f"{seconds[name]:.1f}" if name in seconds else "" for name in stages)
            yield _row(title, row.profile, str(row.level), *cells)


def _ratio(seconds: Sequence[float], base: Sequence[float]) -> str:
    return f"{statistics.median(seconds) / statistics.median(base):.2f}"


def _head(*names: str, words: int) -> Iterator[str]:
    """Yield the head of a table whose first columns are words, and the others numbers."""
    yield _row(*names)
    yield _row(*(["---"] * words), *(["---:"] * (len(names) - words)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
