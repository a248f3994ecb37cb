"""``python -m benchmarks gate``: figures that are the same on every machine, held to a budget.

CI builds a few workloads from the local channel, whose packages are locked, changes them as
people do, and compares with ``benchmarks/budget.toml``: bytes, layers, bytes that are sent
again, digests. Times are no part of it. What is meant to change is written anew with
``--update``, so that every change of a figure is a line that somebody reviews.

The layer of the base is left out: its packages get security fixes, whenever Debian makes some.
So is, of the digests, the application's: what ``prepare`` computes differs in last bits from
processor to processor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.building.project import Project
from benchmarks.catalogue import workloads
from benchmarks.demo import say
from slimpack.files import atomic_file
from slimpack.oci.layer import Layer
from slimpack.oci.read import read_image
from slimpack.toml import Table, read_toml

BUDGET = Path(__file__).with_name("budget.toml")
_SAME = "sha256:"
_HEAD = """\
# What CI holds slimpack to (benchmarks/gate.py): figures that are the same on every machine.
# Written by: python -m benchmarks gate --update
# Bytes and counts may differ by `tolerance` percent, as compressors do from version to version.
# environment: of the layers above the base and below the application, compressed; contents:
# SHA-256 of their diffIDs. sent-*: bytes of new layers after a change. Nothing changed: 0.
"""


@dataclass(frozen=True)
class Figures:
    """What is asserted of one workload in one profile; sizes in bytes.

    layers: of the whole image. files, unpacked, environment: of the layers between base and
    application, the last compressed. contents: SHA-256 of their diffIDs. sent_*: compressed
    bytes of layers that a registry has not had, after a change.
    """

    layers: int
    files: int
    unpacked: int
    environment: int
    sent_same: int
    sent_application: int
    sent_package: int
    contents: str


@dataclass(frozen=True)
class Budget:
    """Figures by (workload, profile); tolerance: a ratio, such as 0.01."""

    tolerance: float
    figures: Mapping[tuple[str, str], Figures]


def gate(folder: Path, path: Path = BUDGET, names: Sequence[str] = ()) -> list[str]:
    """Build what the budget has (or the workloads `names` of it), return what it forbids."""
    budget = read_budget(path)
    found = measured(folder, budget, names)
    return [
        problem
        for key, figures in found.items()
        for problem in problems(" ".join(key), budget.figures[key], figures, budget.tolerance)
    ]


def update(folder: Path, path: Path = BUDGET, names: Sequence[str] = ()) -> list[str]:
    """Write what is measured now into the budget; return what changes, a line each."""
    budget = read_budget(path)
    found = measured(folder, budget, names)
    write_budget(replace(budget, figures={**budget.figures, **found}), path)
    return [
        line
        for key, figures in found.items()
        for line in problems(" ".join(key), budget.figures[key], figures, 0.0)
    ]


def measured(
    folder: Path, budget: Budget, names: Sequence[str] = ()
) -> dict[tuple[str, str], Figures]:
    """Build everything in `folder`; (workload, profile) -> what came out."""
    keys = [key for key in budget.figures if not names or key[0] in names]
    found = {}
    for name, workload in workloads(tuple(dict.fromkeys(key[0] for key in keys))).items():
        project = Project(workload, folder / name)
        project.make()
        profiles = [profile for of, profile in keys if of == name]
        before = {profile: _build(project, profile, "first") for profile in profiles}
        same = {profile: _build(project, profile, "same") for profile in profiles}
        project.change_application()
        application = {profile: _build(project, profile, "application") for profile in profiles}
        if workload.pure:
            project.change_package(workload.pure)
        package = {profile: _build(project, profile, "package") for profile in profiles}
        for profile in profiles:
            steps = (before[profile], same[profile], application[profile], package[profile])
            found[name, profile] = figures_of(steps)
    return found


@dataclass(frozen=True)
class _Step:
    """An image's layers from the base up, and what was told of each of them."""

    layers: tuple[Layer, ...]
    rows: tuple[Mapping[str, Any], ...]


def _build(project: Project, profile: str, name: str) -> _Step:
    say(f"{project.workload.name} {profile}: {name}")
    layout = project.folder / f"{profile}-{name}"
    options = ("--profile", profile, "--no-verify", "--output", f"{layout}/")
    told = json.loads(project.slimpack("build", *options, *project.options).output)
    return _Step(read_image(layout).layers, tuple(told["layers"]))


def figures_of(steps: tuple[_Step, _Step, _Step, _Step]) -> Figures:
    """Return the figures of a first build, the same again, another application, another package."""
    first, same, application, package = steps
    inner = [
        (layer, row)
        for layer, row in zip(first.layers, first.rows, strict=True)
        if row["name"] != "application" and not row["name"].startswith("runtime ")
    ]
    contents = hashlib.sha256("\n".join(layer.diff_id for layer, _ in inner).encode())
    return Figures(
        layers=len(first.layers),
        files=sum(row["files"] for _, row in inner),
        unpacked=sum(row["unpacked"] for _, row in inner),
        environment=sum(layer.size for layer, _ in inner),
        sent_same=_sent(first, same),
        sent_application=_sent(first, application),
        sent_package=_sent(application, package),
        contents=f"{_SAME}{contents.hexdigest()}",
    )


def _sent(before: _Step, after: _Step) -> int:
    known = {layer.digest for layer in before.layers}
    return sum(layer.size for layer in after.layers if layer.digest not in known)


def problems(what: str, budget: Figures, found: Figures, tolerance: float) -> Iterator[str]:
    """Yield a line for each figure that is not as the budget has it.

    What is smaller than the budget is one, too: a budget with room to spare hides what grows.
    """
    for field in fields(Figures):
        allowed, value = getattr(budget, field.name), getattr(found, field.name)
        name = field.name.replace("_", "-")
        if isinstance(allowed, str):
            if value != allowed:
                yield f"{what}: {name}: other bytes than before, {value} instead of {allowed}"
        elif abs(value - allowed) > allowed * tolerance:
            percent = f" ({100 * (value / allowed - 1):+.2f} %)" if allowed else ""
            way = "grew" if value > allowed else "shrank"
            yield f"{what}: {name} {way} from {allowed} to {value}{percent}"


def read_budget(path: Path) -> Budget:
    """Read a budget; InputError with the file and the key for what it should not hold."""
    top = Table(read_toml(path), path.name, "")
    percent = top.integer("tolerance", 1, minimum=0, maximum=100)
    found = {}
    for table in top.tables("image"):
        key = table.string("workload"), table.string("profile")
        values: dict[str, Any] = {}
        for field in fields(Figures):
            name = field.name.replace("_", "-")
            if field.name == "contents":
                values[field.name] = table.string(name)
            else:
                values[field.name] = table.integer(name, 0, minimum=0, maximum=1 << 40)
        table.finish()
        found[key] = Figures(**values)
    top.finish()
    return Budget(percent / 100, found)


def write_budget(budget: Budget, path: Path) -> None:
    """Write a budget, whole or not at all."""
    lines = [_HEAD, f"tolerance = {round(100 * budget.tolerance)}"]
    for (workload, profile), figures in budget.figures.items():
        lines += ["", "[[image]]", f'workload = "{workload}"', f'profile = "{profile}"']
        for field in fields(Figures):
            value = getattr(figures, field.name)
            shown = f'"{value}"' if isinstance(value, str) else f"{value:_}"
            lines.append(f"{field.name.replace('_', '-')} = {shown}")
    with atomic_file(path, durable=False) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
