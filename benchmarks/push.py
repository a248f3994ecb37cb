"""``python -m benchmarks.push``: `slimpack push` beside skopeo, to a registry on this machine.

An image of 300 MB that no compressor makes smaller is pushed to docker-registry: all of
it, and then once more, when the registry has everything. Before each push of all of it
the registry is a new, empty one. The two take turns; medians are compared. The result
goes to benchmarks/results/push.json and push.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Sequence
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

WORK = ROOT / "build" / "bench-push"
LAYOUT = WORK / "layout"
# As an image of slimpack's has them: a few large packages, several small ones, the base.
LAYERS_MB = (110, 60, 45, 30, 20, 15, 10, 5, 4, 1)
WHAT = ("all of it", "nothing new")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push")
    parser.add_argument("--runs", type=int, default=7, help="of each [default: 7]")
    options = parser.parse_args(arguments)
    return ended(lambda: bench(options.runs), WORK)


def bench(count: int) -> None:
    """Push with both, `count` times, and write what came out."""
    install([PEERS[name] for name in ("skopeo", "docker-registry") if shutil.which(name) is None])
    shutil.rmtree(WORK, ignore_errors=True)
    image = make_layout(WORK / "made", LAYOUT, LAYERS_MB)
    shutil.rmtree(WORK / "made")
    environment = {
        **os.environ,
        "SLIMPACK_CACHE_DIR": str(WORK / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    results = {(tool, what): Runs() for what in WHAT for tool in commands("")}
    for number in range(count):
        for tool in commands(""):
            say(f"run {number + 1} of {count}: {tool}")
            with docker_registry(WORK / "registry") as host:
                for what in WHAT:
                    measured = measure(commands(host)[tool], cwd=ROOT, env=environment)
                    results[tool, what].add(measured)
            shutil.rmtree(WORK / "registry")
    write(results, sum(layer.size for layer in image.layers))


def commands(host: str) -> dict[str, tuple[str, ...]]:
    """Return tool -> command."""
    return {
        "skopeo": (
            *("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"),
            *(f"oci:{LAYOUT}:app:1", f"docker://{host}/app:1"),
        ),
        "slimpack": ("slimpack", "push", str(LAYOUT), f"{host}/app:1", "--quiet"),
    }


def write(results: dict[tuple[str, str], Runs], size: int) -> None:
    """Write everything as JSON, and a table."""
    found = {
        "bytes": size,
        "machine": machine(),
        "versions": {
            "slimpack": __version__,
            "Python": platform.python_version(),
            "skopeo": version_of("skopeo", "--version"),
            "docker-registry": version_of("docker-registry", "--version"),
        },
        "runs": {
            what: {tool: asdict(results[tool, what]) for tool in commands("")} for what in WHAT
        },
        "ratios": {
            what: _median(results["slimpack", what]) / _median(results["skopeo", what])
            for what in WHAT
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "push.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    text = _table(results, found)
    (RESULTS / "push.md").write_text(text, encoding="utf-8")
    print(text)


def _table(results: dict[tuple[str, str], Runs], found: dict[str, object]) -> str:
    lines = [
        "| pushed | tool | seconds | ratio | memory, MB |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for what in WHAT:
        ours = _median(results["slimpack", what])
        for tool in commands(""):
            runs = results[tool, what]
            cells = (
                *(what, tool, f"{_median(runs):.2f}", f"{_median(runs) / ours:.2f}"),
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
            f"Medians of {count} runs, whole processes with their start. The image has "
            f"{len(LAYERS_MB)} layers of {megabytes(int(str(found['bytes'])))} MB together. Memory "
            "is the peak of the process.",
            "",
            f"Machine: {computer}. Versions: {used}.",
            "",
        ]
    )


def _median(runs: Runs) -> float:
    return statistics.median(runs.seconds)


if __name__ == "__main__":
    sys.exit(main())
