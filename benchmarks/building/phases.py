"""``python -m benchmarks.building.phases``: where the time of slimpack's rebuilds goes.

The stages of a build in each case, and what importing modules takes. It needs no Docker, and
writes no results.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from benchmarks.building.making import APPLICATION, ONE_HEAVY, ONE_PURE, SAME
from benchmarks.building.project import Project
from benchmarks.catalogue import workloads
from benchmarks.demo import ROOT, say
from benchmarks.ending import ended
from benchmarks.running import RunError
from slimpack.cli.table import table

_CASES = (SAME, APPLICATION, ONE_PURE, ONE_HEAVY)
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")
_SHOWN = 25  # the slowest modules
_OTHER = "start, imports, end"
WORK = ROOT / "build" / "bench-phases"


@click.command()
@click.option("--workload", "name", default="w1", show_default=True)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True)
def main(name: str, runs: int) -> None:
    """Measure the stages, and print them."""

    def work() -> None:
        project = Project(workloads((name,))[name], WORK / "project")
        project.make()
        for line in phases(project, runs):
            click.echo(line)

    sys.exit(ended(work, WORK))


def phases(project: Project, runs: int) -> Iterator[str]:
    """Yield tables: seconds of each stage case by case, then the slowest imports.

    Every case runs `runs` times without verification and as often with it.
    """
    for options in (("--no-verify",), ()):
        cache = project.folder.with_name("phases" + "-".join(options))
        output = ("--output", f"{cache}-layout/")
        command = ("build", *options, *output, *project.options)
        say("building from nothing")
        project.slimpack(*command, cache=cache)
        taken: dict[str, list[dict[str, float]]] = {}
        for _ in range(runs):
            for case in _CASES:
                project.change(case)
                say(f"{case} {' '.join(options)}")
                measured = project.slimpack(*command, cache=cache)
                stages = dict(json.loads(measured.output)["stages"])
                other = measured.seconds - sum(stages.values())
                taken.setdefault(case, []).append({**stages, _OTHER: other})
        yield f"\n{' '.join(('slimpack build', *options))}: median seconds of {runs}\n"
        yield _stages(taken)
        environment = project.environment(cache)
        yield from _imports(project, environment, command)


def _stages(taken: Mapping[str, list[dict[str, float]]]) -> str:
    names = list(dict.fromkeys(name for runs in taken.values() for run in runs for name in run))
    rows = [(name, *(f"{_median(runs, name):.3f}" for runs in taken.values())) for name in names]
    whole = [statistics.median(sum(run.values()) for run in runs) for runs in taken.values()]
    rows.append(("together", *(f"{seconds:.3f}" for seconds in whole)))
    return table(("stage", *taken), rows, right=tuple(range(1, len(taken) + 1)))


def _median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run.get(name, 0.0) for run in runs)


def _imports(
    project: Project, environment: Mapping[str, str], command: tuple[str, ...]
) -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "slimpack", *command],
        check=False,
        cwd=project.home,
        env=dict(environment),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RunError(f"slimpack failed under -X importtime: {done.stderr[-2000:]}")
    found = import_times(done.stderr)
    total = sum(own for own, _, _ in found.values())
    yield f"\nimports when nothing changed: {len(found)} modules, {total / 1e6:.3f} s together\n"
    slowest = sorted(found.items(), key=lambda item: -item[1][1])[:_SHOWN]
    rows = [
        (f"{'  ' * depth}{name}", f"{own / 1000:.1f}", f"{whole / 1000:.1f}")
        for name, (own, whole, depth) in slowest
    ]
    yield table(("module", "itself, ms", "with its imports, ms"), rows, right=(1, 2))


def import_times(text: str) -> dict[str, tuple[int, int, int]]:
    """Return module -> (own, cumulative microseconds, depth) of ``-X importtime``'s output.

    Deeper modules are indented by two more spaces (Python's documentation of -X).
    """
    found: dict[str, Any] = {}
    for match in _LINE.finditer(text):
        own, whole, indent, name = match.groups()
        found[name] = (int(own), int(whole), (len(indent) - 1) // 2)
    return found


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.building.phases")
