"""Part ``images``: what each method's image of each workload holds, beside the lower bound.

Every image is pushed to a docker-registry and taken from there, whoever made it. The workload's
self-test runs in each. The bound is what the service and the self-test touch in the image from
which nothing is taken, packed in the same way (`benchmarks.slimming.bound`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.building.filling import Kitchen
from benchmarks.building.limit import Opened, opened
from benchmarks.building.methods import commands, in_order, level_of, set_up, wanted
from benchmarks.catalogue import Method, Workload, workloads
from benchmarks.demo import ROOT, say
from benchmarks.machine import machine, versions
from benchmarks.parts import Ask
from benchmarks.records import Record, Results
from benchmarks.setup.registry import docker_registry
from benchmarks.slimming.bound import TOUCHED, Bound, measure_bound, selected, touched
from benchmarks.slimming.inside import self_test
from benchmarks.tables import absent, facts, records_table
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Sandbox, choose_sandbox
from slimpack.trace.record import read_trace

WORK = ROOT / "build" / "bench-images"
REFERENCE = "best"
QUICK = Ask(("w0",), ("best", "safe", "tight"))
COLUMNS = ("compressed", "unpacked", "files", "layers", "checks")
_NOTE = """\
Each image was pushed to a registry and pulled from there: compressed is the sum of its layers, as \
a first pull transfers it, unpacked the files that are visible. Dockerfiles' layers are gzip, as \
docker push makes them, slimpack's are zstd. The self-test ran in every image, as its user. The \
limit is what the service, asked once, and the self-test touch in the image from which nothing is \
taken: whole files, with sources and bytecode, in the same layers and at the same level. A profile \
can be below it: it may leave out sources and shorten libraries. Ratios are of compressed to that \
of conda-pack's image."""


def measure(ask: Ask) -> Iterator[Results]:
    """Measure the workloads one by one; yield every image as soon as it was looked at."""
    default = QUICK if ask.quick else Ask()
    chosen = wanted(ask.methods or default.methods, "images")
    reasons: dict[str, str] = {}
    shutil.rmtree(WORK, ignore_errors=True)
    try:
        with set_up(chosen, WORK), docker_registry(WORK / "registry") as host:
            for workload in workloads(ask.workloads or default.workloads).values():
                for records in _workload(workload, chosen, host, reasons):
                    yield _results(records, chosen, reasons)
                shutil.rmtree(WORK / workload.name, ignore_errors=True)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _workload(
    workload: Workload, chosen: Sequence[Method], host: str, reasons: dict[str, str]
) -> Iterator[tuple[Record, ...]]:
    """Yield the records of each image; of none where `reasons` has got why there is none."""
    folder = WORK / workload.name
    kitchen = Kitchen(workload, folder)
    sandbox = choose_sandbox()
    bounds: dict[int, Bound] = {}
    for made in kitchen.made(chosen, host):
        if made.reason:
            reasons[f"{workload.name.upper()}, {made.method.title}"] = made.reason
            yield ()
            continue
        say(f"{workload.name}: looking at the image of {made.method.name}")
        level = level_of(made.method)
        if level not in bounds and not workload.gpu:
            bounds[level] = _bound(kitchen, level)
        bound = bounds.get(level)
        with opened(kitchen.project, made.reference, folder / "opened") as image:
            passed = None if workload.gpu else checks(image, workload, sandbox)
            yield tuple(described(workload.name, made.method.name, image, passed, bound))


def _bound(kitchen: Kitchen, level: int) -> Bound:
    """Return the lower bound of the workload's images at a level of the compressor."""
    image = read_image(kitchen.whole)
    trace = read_trace(kitchen.trace.read_bytes(), TOUCHED)
    view = merged_view(image)
    root = kitchen.folder / "whole"
    unpack_image(image, root, view=view)
    tree = selected(image, view, root, touched(trace, view.keys(), sources=True))
    bound = measure_bound(TOUCHED, tree, level, kitchen.folder)
    shutil.rmtree(root)
    return bound


def checks(opened: Opened, workload: Workload, sandbox: Sandbox) -> int:
    """Run the workload's self-test in an image; return how many checks passed, all of them."""
    with sandbox.prepare(opened.root, opened.image) as prepared:
        return self_test(prepared, opened.image.config, workload.self_test)


def described(
    workload: str, method: str, opened: Opened, passed: int | None, bound: Bound | None
) -> Iterator[Record]:
    """Yield the records of one image. passed: checks of the self-test, None if it did not run."""
    members = [placed.member for placed in opened.view.values()]
    files = [member for member in members if member.kind != "directory"]
    found = {
        "compressed": sum(layer.size for layer in opened.image.layers),
        "unpacked": sum(member.size for member in members),
        "files": len(files),
        "layers": len(opened.image.layers),
        **({} if passed is None else {"checks": passed}),
    }
    limits: dict[str, int] = {}
    if bound is not None:
        limits = {"compressed": bound.size, "unpacked": bound.unpacked, "files": bound.files}
    for metric, value in found.items():
        limit = limits.get(metric)
        of = f"what {bound.of} touch, zstd {bound.level}" if bound and limit else ""
        yield Record(workload, method, metric, (float(value),), limit=limit, limit_of=of)


def _results(
    records: tuple[Record, ...], chosen: Sequence[Method], reasons: Mapping[str, str]
) -> Results:
    return Results(
        part="images",
        machine=machine(),
        versions=versions("docker", "zstd"),
        channel="local",
        commands=commands(chosen),
        notes=(_NOTE,),
        reasons=dict(reasons),
        records=records,
    )


def markdown(results: Results) -> str:
    """Return the page of the part."""
    table = records_table(
        in_order(results), COLUMNS, reference=REFERENCE, limits=("compressed", "files")
    )
    reasons = list(absent())
    head = ["", "Not measured:", "", *reasons] if reasons else []
    return "\n".join([*table, *head, *facts(results)]) + "\n"
