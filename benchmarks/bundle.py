"""``python -m benchmarks.bundle``: `slimpack bundle create` beside skopeo and tar.

An image of 1.2 GB that no compressor makes smaller goes into one file: from an OCI layout, with
`skopeo copy` to an OCI archive and `tar` of the same bytes beside it; and from docker-registry on
this machine. slimpack checks every digest, and ends when the bytes are on the disk; tar is
measured with and without waiting for that. All take turns; medians are compared, each to
slimpack's of the same run. The result goes to benchmarks/results/bundle.json and bundle.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.demo import ROOT, say
from benchmarks.ending import ended
from benchmarks.machine import machine
from benchmarks.noise import make_layout, version_of
from benchmarks.parts import RESULTS
from benchmarks.running import Runs, measure
from benchmarks.setup.apt import install
from benchmarks.setup.peers import PEERS
from benchmarks.setup.registry import docker_registry
from slimpack import __version__
from slimpack.cli.table import megabytes
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference

WORK = ROOT / "build" / "bench-bundle"
LAYOUT = WORK / "layout"
OUT = WORK / "out"
# As an image of slimpack's has them: a few large packages, several small ones, the base.
LAYERS_MB = (440, 240, 180, 120, 80, 60, 40, 20, 16, 4)
FOLDER, REGISTRY = "an OCI layout", "a registry"
OURS = "slimpack"


Results = dict[tuple[str, str], Runs]
"""(what, tool) -> runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bundle")
    parser.add_argument("--runs", type=int, default=7, help="of each [default: 7]")
    options = parser.parse_args(arguments)
    return ended(lambda: bench(options.runs), WORK)


def bench(count: int) -> None:
    """Let all of them write the file, `count` times, and write what came out."""
    install([PEERS[name] for name in ("skopeo", "docker-registry") if shutil.which(name) is None])
    shutil.rmtree(WORK, ignore_errors=True)
    image = make_layout(WORK / "made", LAYOUT, LAYERS_MB)
    environment = {
        **os.environ,
        "SLIMPACK_CACHE_DIR": str(WORK / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with docker_registry(WORK / "registry") as host:
        with Registries() as registries:
            push(image, [Reference.parse(f"{host}/app:1")], registries)
        results: Results = {key: Runs() for key, _ in commands(host)}
        for number in range(count):
            for key, command in commands(host):
                say(f"run {number + 1} of {count}: {key[1]}, from {key[0]}")
                run(command, environment, results[key])
    write(results, image.size)


def run(command: Sequence[str], environment: Mapping[str, str], runs: Runs) -> None:
    """Run one of them with nothing waiting for the disk before, and nothing left after."""
    for folder in (OUT, WORK / "cache"):
        shutil.rmtree(folder, ignore_errors=True)
    OUT.mkdir()
    os.sync()
    measured = measure(command, cwd=ROOT, env=environment)
    runs.add(measured)


def commands(host: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Yield (what, tool) and its command, ours first."""
    file, name = f"{OUT}/site.tar", f"{host}/app:1"
    create = ("slimpack", "bundle", "create", "--quiet", "-o", file)
    copy = ("skopeo", "--insecure-policy", "copy", "--quiet")
    tar = f"tar -cf {file} -C {LAYOUT} ."
    yield (FOLDER, OURS), (*create, str(LAYOUT))
    yield (FOLDER, "slimpack, volumes"), (*create, str(LAYOUT), "--volume-size", "256M")
    yield (FOLDER, "skopeo"), (*copy, f"oci:{LAYOUT}:app:1", f"oci-archive:{file}:app:1")
    yield (FOLDER, "tar"), ("sh", "-c", tar)
    yield (FOLDER, "tar, on the disk"), ("sh", "-c", f"{tar} && sync {file}")
    yield (REGISTRY, OURS), (*create, name)
    yield (REGISTRY, "slimpack --keep"), (*create, name, "--keep")
    source = ("--src-tls-verify=false", f"docker://{name}")
    yield (REGISTRY, "skopeo"), (*copy, *source, f"oci-archive:{file}:app:1")


def write(results: Results, size: int) -> None:
    """Write everything as JSON, and a table."""
    found = {
        "bytes": size,
        "machine": machine(),
        "versions": {
            "slimpack": __version__,
            "Python": platform.python_version(),
            "skopeo": version_of("skopeo", "--version"),
            "tar": version_of("tar", "--version"),
            "docker-registry": version_of("docker-registry", "--version"),
        },
        "runs": {
            what: {tool: asdict(runs) for (one, tool), runs in results.items() if one == what}
            for what in (FOLDER, REGISTRY)
        },
        "ratios": {
            what: {tool: ratio(results, what, tool) for one, tool in results if one == what}
            for what in (FOLDER, REGISTRY)
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bundle.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    text = _table(results, found)
    (RESULTS / "bundle.md").write_text(text, encoding="utf-8")
    print(text)


def ratio(results: Results, what: str, tool: str) -> float:
    """Return the median of the seconds of a tool over ours, run by run."""
    pairs = zip(results[what, tool].seconds, results[what, OURS].seconds, strict=True)
    return round(statistics.median(theirs / ours for theirs, ours in pairs), 2)


def _table(results: Results, found: Mapping[str, object]) -> str:
    lines = [
        "| from | tool | seconds | MB a second | ratio | CPU seconds | memory, MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    size = int(str(found["bytes"]))
    for (what, tool), runs in results.items():
        seconds = statistics.median(runs.seconds)
        cells = (
            *(what, tool, f"{seconds:.2f}", f"{size / seconds / 1e6:.0f}"),
            *(f"{ratio(results, what, tool):.2f}", f"{statistics.median(runs.cpu):.2f}"),
            megabytes(int(statistics.median(runs.memory))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    count = len(next(iter(results.values())).seconds)
    computer = ", ".join(dict(found["machine"]).values())  # type: ignore[call-overload]
    used = ", ".join(
        f"{name} {number}"
        for name, number in dict(found["versions"]).items()  # type: ignore[call-overload]
    )
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {count} runs, whole processes with their start; the ratio is that of the "
            f"seconds to slimpack's of the same run. The image has {len(LAYERS_MB)} layers of "
            f"{megabytes(size)} MB together. Memory is the peak of the largest process. slimpack "
            "ends when the file is on the disk, as 'tar, on the disk' does.",
            "",
            f"Machine: {computer}. Versions: {used}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
