"""``python -m benchmarks.rebuild``: what a change costs, in seconds and in bytes sent again.

Workload W1 is built from nothing, and then once more each time after nothing, a line of
the application, a pure Python package or a heavy package has changed: by slimpack with and
without verification, by a plain Dockerfile, and by conda-pack with a multi-stage one. Each
way pushes to a registry of its own. The ways take turns, and the whole is repeated; medians
are compared. The result goes to benchmarks/results/rebuild.json and rebuild.md.

``--phases`` measures nothing else but where the time of a rebuild goes: the stages, and
what importing modules takes. It needs no Docker.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks.demo import ROOT, say
from benchmarks.ending import ended
from benchmarks.machine import machine
from benchmarks.parts import RESULTS
from benchmarks.rebuilding import dockerfiles
from benchmarks.rebuilding.bases import load_bases
from benchmarks.rebuilding.heavy import peaks, told
from benchmarks.rebuilding.methods import (
    APPLICATION,
    CASES,
    EMPTY,
    LOCKED,
    LOCKED_UNVERIFIED,
    METHODS,
    NAIVE,
    ONE_HEAVY,
    ONE_PURE,
    PACKAGES,
    PACKED,
    SLIMPACK,
    UNVERIFIED,
    Method,
    Slimpack,
)
from benchmarks.rebuilding.phases import phases
from benchmarks.rebuilding.project import HEAVY, PURE, Project
from benchmarks.rebuilding.pushed import arrived, layers, stored
from benchmarks.rebuilding.results import Runs, explanation, table, to_json
from benchmarks.running import docker
from benchmarks.setup.apt import install
from benchmarks.setup.engine import ensure_engine
from benchmarks.setup.peers import PEERS
from benchmarks.setup.registry import docker_registry
from slimpack import __version__

WORK = ROOT / "build" / "bench-rebuild"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild")
    parser.add_argument("--runs", type=int, default=3, help="of everything [default: 3]")
    parser.add_argument(
        "--way",
        dest="ways",
        action="append",
        choices=METHODS,
        help="only this one, and write no results; more than once for several [default: all]",
    )
    parser.add_argument("--phases", action="store_true", help="show where slimpack's time goes")
    options = parser.parse_args(arguments)
    project = Project(WORK / "project")

    def work() -> None:
        shutil.rmtree(WORK, ignore_errors=True)
        if options.phases:
            project.make()
            for line in phases(project, options.runs):
                print(line)
        else:
            bench(project, options.runs, tuple(options.ways or METHODS))

    return ended(work, WORK)


def bench(project: Project, count: int, ways: Sequence[str]) -> None:
    """Go through all cases with all ways, `count` times, and write what came out."""
    install([PEERS[name] for name in ("docker-registry",) if shutil.which(name) is None])
    with_docker = bool({NAIVE, PACKED}.intersection(ways))
    with_lock = with_docker or bool({LOCKED, LOCKED_UNVERIFIED}.intersection(ways))
    with ExitStack() as stack:
        if with_docker:
            ensure_engine()
            stack.enter_context(dockerfiles.tidy())
            say("making the images that Dockerfiles stand on")
            load_bases(WORK / "bases", WORK / "cache-of-bases")
        project.make()
        methods = {way: method for way, method in all_methods(project).items() if way in ways}
        found = {
            (way, case): Runs()
            for case in CASES
            for way, method in methods.items()
            if case in method.cases
        }
        for number in range(count):
            say(f"run {number + 1} of {count}")
            repetition(project, methods, found, check=number == 0, lock=with_lock)
        heavy = peaks(WORK / "heavy", project.channel) if set(ways) == set(METHODS) else {}
    lines = (*table(found), "", explanation(found), *told(heavy), "", _facts(), "")
    text = "\n".join(lines)
    if heavy:
        write(found, heavy, text)
    print(text)


def all_methods(project: Project) -> dict[str, Method]:
    """Return way -> method; each has a cache or a context of its own."""
    return {
        SLIMPACK: Slimpack(project, WORK / "slimpack"),
        UNVERIFIED: Slimpack(project, WORK / "unverified", ("--no-verify",)),
        LOCKED: Slimpack(project, WORK / "locked", locked=True),
        LOCKED_UNVERIFIED: Slimpack(
            project, WORK / "locked-unverified", ("--no-verify",), locked=True
        ),
        NAIVE: dockerfiles.Docker(project, WORK / "naive" / "context", packed=False),
        PACKED: dockerfiles.Docker(project, WORK / "packed" / "context", packed=True),
    }


def repetition(
    project: Project,
    methods: Mapping[str, Method],
    found: Mapping[tuple[str, str], Runs],
    *,
    check: bool,
    lock: bool,
) -> None:
    """Go through the cases once. lock: some ways need the packages solved beforehand."""
    if lock:
        project.solve()
    with ExitStack() as stack:
        registries: dict[str, Path] = {}
        hosts: dict[str, str] = {}
        for way in methods:
            registries[way] = WORK / "registries" / way
            shutil.rmtree(registries[way], ignore_errors=True)
            hosts[way] = stack.enter_context(docker_registry(registries[way]))
            if way in (NAIVE, PACKED):
                stack.callback(dockerfiles.clean, hosts[way])
        for case in CASES:
            change(project, case, lock=lock)
            for way, method in methods.items():
                if case not in method.cases:
                    continue
                say(f"{case}: {way}")
                method.prepare(case)
                if case == EMPTY:
                    with docker_registry(WORK / "registries" / "empty") as host:
                        one(method, case, host, WORK / "registries" / "empty", found[way, case])
                    shutil.rmtree(WORK / "registries" / "empty")
                else:
                    one(method, case, hosts[way], registries[way], found[way, case])
                if check and case == PACKAGES:
                    method.check(hosts[way])


def change(project: Project, case: str, *, lock: bool) -> None:
    """Change what the case is about."""
    if case == APPLICATION:
        project.change_application()
    elif case in (ONE_PURE, ONE_HEAVY):
        project.change_package(PURE if case == ONE_PURE else HEAVY)
        if lock:
            project.solve()


def one(method: Method, case: str, host: str, registry: Path, runs: Runs) -> None:
    """Build once, push, look at what the registry has got."""
    before = stored(registry)
    step = method.run(case, host)
    fresh = [digest for digest in layers(host) if digest.removeprefix("sha256:") not in before]
    runs.add(step, arrived(before, stored(registry)), fresh)


def write(found: Mapping[tuple[str, str], Runs], heavy: Mapping[str, int], text: str) -> None:
    """Write everything as JSON, and the table."""
    whole = {
        "workload": "w1, its model made beforehand",
        "channel": "local",
        "machine": machine(),
        "versions": versions(),
        "commands": commands(),
        **to_json(found),
        "w3 memory": heavy,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rebuild.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "rebuild.md").write_text(text, encoding="utf-8")


def commands() -> dict[str, list[str]]:
    """Return what each way runs, for the reader."""
    build = "slimpack build --channel CHANNEL --push HOST/app:1"
    image = [
        "docker build --network none --quiet --tag HOST/app:1 .  # cold: --no-cache",
        "docker push --quiet HOST/app:1",
    ]
    return {
        SLIMPACK: [build],
        UNVERIFIED: [f"{build} --no-verify"],
        LOCKED: ["slimpack build pixi.lock --push HOST/app:1"],
        LOCKED_UNVERIFIED: ["slimpack build pixi.lock --push HOST/app:1 --no-verify"],
        NAIVE: image,
        PACKED: ["conda-pack --n-threads 2 --prefix PREFIX --output env.tar.gz", *image],
    }


def versions() -> dict[str, str]:
    """Return the versions of what was compared; of an engine only where there is one."""
    engine = ""
    if shutil.which("docker"):
        engine = docker("version", "--format", "{{.Server.Version}}", check=False).stdout.strip()
    return {
        "slimpack": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in ("conda-pack", "py-rattler", "zstandard")},
        **({"Docker": engine} if engine else {}),
    }


def _facts() -> str:
    computer = ", ".join(machine().values())
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Machine: {computer}. Versions: {used}."


if __name__ == "__main__":
    sys.exit(main())
