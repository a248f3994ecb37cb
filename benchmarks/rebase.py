"""``python -m benchmarks.rebase``: another base by `slimpack rebase`, and by a build.

examples/serve is built on Debian 12; then the same image on Debian 13 is made in several
ways, which take turns, and every way must give the same digest. Debian's lists of packages
are in the cache for all of them, and all fetch the packages of Debian 13. A build "with a
filled cache" has everything else of the first build as well; one "on a new machine" has
conda's packages and nothing more. The result goes to benchmarks/results/rebase.json and
rebase.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.demo import EXAMPLE, ROOT, choose_channel, say
from benchmarks.ending import ended
from benchmarks.machine import machine
from benchmarks.parts import RESULTS
from benchmarks.running import Measured, RunError, Runs, measure
from benchmarks.setup.registry import docker_registry
from slimpack import __version__
from slimpack.cli.table import megabytes

WORK = ROOT / "build" / "bench-rebase"
OLD, NEW = "distroless", "distroless-trixie"
# The environment is solved for the older base's glibc everywhere: the same packages.
_GLIBC = ("--glibc", "2.36")
BUILD_NEW = "build on a new machine"
BUILD = "build with a filled cache"
FILES = "rebase of a file"
QUICK = "rebase of a file, bases compared only"
REMOTE = "rebase in a registry"
WAYS = (BUILD_NEW, BUILD, FILES, QUICK, REMOTE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebase")
    parser.add_argument("--runs", type=int, default=5, help="of each [default: 5]")
    options = parser.parse_args(arguments)
    return ended(lambda: bench(options.runs), WORK)


def bench(count: int) -> None:
    """Make the image in every way, `count` times, and write what came out."""
    channel = choose_channel()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    old = _slimpack("first", "build", "-c", channel, *_GLIBC, "--runtime", OLD, *_to("old"))
    _slimpack("first", "runtime", "show", NEW, "--pinned")
    results = {way: Runs() for way in WAYS}
    told: dict[str, Any] = {}
    digests = set()
    for number in range(count):
        for way in WAYS:
            say(f"run {number + 1} of {count}: {way}")
            with docker_registry(WORK / "registry") as host:
                measured = _made(way, channel, f"{host}/app:1")
            results[way].add(measured)
            told[way] = json.loads(measured.output)
            digests.add(told[way]["digest"])
            for name in ("registry", "out"):
                shutil.rmtree(WORK / name, ignore_errors=True)
    if len(digests) != 1:
        raise RunError(f"the ways give {len(digests)} different images")
    write(results, json.loads(old.output)["size"], told[REMOTE]["pushed"])


def _made(way: str, channel: str, reference: str) -> Measured:
    """Make the image on its new base in a fresh copy of the first build's cache."""
    cache = "now"
    shutil.rmtree(WORK / cache, ignore_errors=True)
    kept = ("debian", "pkgs", "repodata") if way == BUILD_NEW else None
    _copy(WORK / "first", WORK / cache, kept)
    if way in (BUILD_NEW, BUILD):
        command = ("build", "-c", channel, *_GLIBC, "--runtime", NEW, *_to("out"))
        return _slimpack(cache, *command)
    source = str(WORK / "old")
    if way == REMOTE:
        _slimpack(cache, "push", source, reference)
        return _slimpack(cache, "rebase", reference, "--runtime", NEW, "--push", reference)
    more = ("--no-verify",) if way == QUICK else ()
    return _slimpack(cache, "rebase", source, "--runtime", NEW, *more, *_to("out"))


def _copy(source: Path, target: Path, only: Sequence[str] | None) -> None:
    target.mkdir()
    for path in source.iterdir():
        if only is None or path.name in only:
            if path.is_dir():
                shutil.copytree(path, target / path.name, symlinks=True, copy_function=os.link)
            else:
                shutil.copy2(path, target / path.name)


def _to(name: str) -> tuple[str, str]:
    return "--output", f"{WORK / name}/"


def _slimpack(cache: str, *arguments: str) -> Measured:
    environment: Mapping[str, str] = {**os.environ, "SLIMPACK_CACHE_DIR": str(WORK / cache)}
    style = () if arguments[0] == "runtime" else ("--json", "--progress", "line")
    command = [sys.executable, "-m", "slimpack", *arguments, *style]
    return measure(command, cwd=EXAMPLE, env={**environment, "PYTHONPATH": str(ROOT)})


def write(results: Mapping[str, Runs], size: int, pushed: Mapping[str, int]) -> None:
    """Write everything as JSON, and a table."""
    seconds = {way: statistics.median(runs.seconds) for way, runs in results.items()}
    found = {
        "bytes": size,
        "pushed": dict(pushed),
        "machine": machine(),
        "versions": {"slimpack": __version__, "Python": platform.python_version()},
        "runs": {way: asdict(runs) for way, runs in results.items()},
        "ratios": {way: seconds[way] / seconds[BUILD_NEW] for way in WAYS},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rebase.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    lines = ["| | seconds | of a new build | memory, MB |", "| --- | ---: | ---: | ---: |"]
    for way in WAYS:
        memory = megabytes(int(statistics.median(results[way].memory)))
        ratio = seconds[way] / seconds[BUILD_NEW]
        lines.append(f"| {way} | {seconds[way]:.1f} | {ratio:.2f} | {memory} |")
    lines += [
        "",
        f"Medians of {len(results[BUILD].seconds)} runs, whole processes with their start, which "
        f"took turns; each gave the same digest. The image has {megabytes(size)} MB of layers. "
        f"In the registry {megabytes(pushed['sent'])} MB travelled, "
        f"{megabytes(pushed['present'])} MB were there.",
        "",
        f"Machine: {', '.join(machine().values())}. Versions: slimpack {__version__}, "
        f"Python {platform.python_version()}.",
        "",
    ]
    text = "\n".join(lines)
    (RESULTS / "rebase.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
