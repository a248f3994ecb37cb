"""Part ``scale``: a build's time, processor time and memory as the environment grows.

Generated packages (see `shapes`, `content`) are solved into a lock, and downloaded, before
anything is measured. slimpack builds an image from the lock into an OCI layout, with its proof and
without; `tar | zstd` at slimpack's level packs the same environment, installed, and is the limit.
conda-pack does the same with relocation. Images that share packages go to one registry.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.demo import ROOT, choose_channel, say
from benchmarks.machine import machine, versions
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.running import Measured
from benchmarks.scaling.environments import (
    CONDA_PACK_COMMAND,
    TAR_COMMAND,
    UNVERIFIED,
    VERIFIED,
    Build,
    Environment,
)
from benchmarks.scaling.images import Stock, grow
from benchmarks.scaling.points import DIMENSIONS, Dimension
from benchmarks.scaling.table import markdown as markdown
from slimpack.errors import InputError
from slimpack.oci.compress import DEFAULT

SLIMPACK, CONDA_PACK, ALONE = "safe", "conda-pack", "alone"
TAR = f"tar and zstd -{DEFAULT.level}"  # a bar would end a cell of a table
CASES = (UNVERIFIED, VERIFIED)
WORK = ROOT / "build"
RUNS = 1
NOTES = (
    "Packages are generated. Where their number counts, each has 20 modules of 4 kB, on top of "
    "CPython; where files count, they have 1 kB on average and lie in ten packages; where bytes "
    "count, a file has 1 MB on average, in twenty packages. Seven eighths of a data file are words "
    "of a small language and one eighth is noise: zstd -9 makes 0.35 of it. The lock is solved and "
    "the packages are unpacked in the cache before; nothing of an earlier build is used.",
    f"{TAR}, two threads, packs the same environment, installed, as it is: the limit. tar takes "
    "files as folders list them, in no order, which brings equal parts of generated text together: "
    "of 1 GB it makes 0.29, and 0.35 sorted by name, as slimpack has them. conda-pack writes a "
    "tar.zst, at its own level.",
    "Images that share packages: each has Python, NumPy, SciPy, a choice of six further packages, "
    "and an application of its own; they are built and pushed to one registry one after another, "
    "with one cache. Seconds and CPU are of all together; 'alone' counts every image whole.",
)


def measure(ask: Ask) -> Iterator[Results]:
    """Yield the results of each size as soon as they are there; cases: names of dimensions.

    Raises InputError for a dimension that is not known.
    """
    unknown = set(ask.cases) - set(DIMENSIONS)
    if unknown:
        raise InputError(f"no case {min(unknown)!r}", hint=f"known: {', '.join(DIMENSIONS)}")
    for dimension in DIMENSIONS.values():
        if ask.cases and dimension.name not in ask.cases:
            continue
        for records in _measured(dimension, sizes(dimension, ask), ask):
            yield _results(records, ask)


def sizes(dimension: Dimension, ask: Ask) -> Sequence[float]:
    """Return the sizes that are asked for."""
    if ask.quick:
        return dimension.quick
    return dimension.full if ask.full else dimension.usual


def _measured(
    dimension: Dimension, points: Sequence[float], ask: Ask
) -> Iterator[tuple[Record, ...]]:
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-scale-", dir=WORK) as scratch:
        if dimension.shape is None:
            channel = ask.channel or choose_channel()
            for stock in grow(Path(scratch), channel, [int(point) for point in points]):
                yield tuple(stock_records(dimension.name, stock))
            return
        for point in points:
            say(f"{dimension.title}: {point:g}")
            environment = Environment(Path(scratch) / "environment", dimension.shape(point))
            environment.make()
            yield tuple(_of_environment(dimension.name, point, environment, ask.runs or RUNS))
            environment.remove()


def _of_environment(
    name: str, point: float, environment: Environment, runs: int
) -> Iterator[Record]:
    """Measure one environment; all take turns."""
    builds: dict[str, list[Build]] = {case: [] for case in CASES}
    tars: list[Measured] = []
    packs: list[Measured] = []
    for number in range(runs):
        say(f"run {number + 1} of {runs}")
        for case in CASES:
            builds[case].append(environment.build(case))
        tars.append(environment.tar())
        size = (environment.output / "env.tar.zst").stat().st_size
        packs.append(environment.conda_pack())
    limits = list(cost_records(name, TAR, point, tars))
    yield from limits
    yield from cost_records(name, CONDA_PACK, point, packs)
    lowest = {record.metric: record.median for record in limits if record.metric != "memory"}
    for case, made in builds.items():
        measured = [one.measured for one in made]
        yield from cost_records(name, SLIMPACK, point, measured, case=case, lowest=lowest)
        for stage in made[0].stages:
            seconds = tuple(one.stages[stage] for one in made)
            yield Record(name, SLIMPACK, "stage", seconds, f"{case}: {stage}", point)
    compressed = tuple(float(one.size) for one in builds[VERIFIED])
    yield Record(name, SLIMPACK, "compressed", compressed, "", point, float(size), TAR)


def cost_records(
    name: str,
    method: str,
    point: float,
    measured: Sequence[Measured],
    *,
    case: str = "",
    lowest: dict[str, float] | None = None,
) -> Iterator[Record]:
    """Yield the records of some runs. lowest: metric -> its limit, that of `TAR`."""
    values = {
        "build": [one.seconds for one in measured],
        "cpu": [one.cpu for one in measured],
        "memory": [float(one.memory) for one in measured],
    }
    for metric, found in values.items():
        limit = (lowest or {}).get(metric)
        yield Record(name, method, metric, tuple(found), case, point, limit, TAR if limit else "")


def stock_records(name: str, stock: Stock) -> Iterator[Record]:
    """Yield the records of so many images in one registry."""
    at = float(stock.images)
    union = f"image {stock.images}, which has all packages of them"
    held = (float(stock.stored),)
    if stock.images & (stock.images - 1):  # no power of two: the last has not all packages
        yield Record(name, SLIMPACK, "stored", held, "", at)
    else:
        yield Record(name, SLIMPACK, "stored", held, "", at, float(stock.last), union)
    yield Record(name, ALONE, "stored", (float(stock.alone),), "", at)
    costs = {"build": stock.seconds, "cpu": stock.cpu, "memory": float(stock.memory)}
    for metric, value in costs.items():
        yield Record(name, SLIMPACK, metric, (value,), "built and pushed", at)
    yield Record(name, SLIMPACK, "build", (stock.bundle_seconds,), "bundle create", at)
    yield Record(name, SLIMPACK, "compressed", (float(stock.bundle),), "bundle create", at)


def _results(records: Iterable[Record], ask: Ask) -> Results:
    return Results(
        part="scale",
        machine=machine(),
        versions=versions("tar", "zstd"),
        channel="generated packages" + (f", {ask.channel}" if ask.channel else ", local"),
        commands={
            SLIMPACK: [
                "slimpack build pixi.lock --no-cache --json --progress none --output out/",
                "slimpack build pixi.lock --no-cache --json --progress none --no-verify "
                "--output out/",
            ],
            TAR: [TAR_COMMAND],
            CONDA_PACK: [" ".join(CONDA_PACK_COMMAND)],
        },
        notes=NOTES,
        records=tuple(records),
    )
