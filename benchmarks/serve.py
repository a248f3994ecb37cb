"""``python -m benchmarks.serve``: slimpack beside what people do today, in one run.

examples/serve is built by slimpack, with an empty and with a filled package
cache. The same environment, installed in a prefix, is packed by conda-pack and
by ``tar | zstd``. Every method runs several times, taking turns, so that a busy
moment of the machine meets all of them; medians are compared.

The result goes to benchmarks/results/NAME.json (everything) and NAME.md (a table).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.demo import EXAMPLE, ROOT, choose_channel, say
from benchmarks.ending import ended
from benchmarks.machine import machine, versions
from benchmarks.parts import RESULTS
from benchmarks.running import Measured, measure
from benchmarks.setup.apt import install
from slimpack.cli.table import megabytes
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.oci.compress import DEFAULT
from slimpack.platforms import SUBDIRS, resolve

WORK = Path("build/bench")  # relative to ROOT, as are all paths of commands
CACHE, PREFIX, LOCK = WORK / "cache", WORK / "prefix", WORK / "pixi.lock"
PREFIX_IN_IMAGE = "/opt/env"
THREADS = 2
# Of a build: what conda-pack and tar have to do as well, once there is a prefix.
PACKING = ("relocate", "bytecode", "layers", "output")


@dataclass(frozen=True)
class Method:
    """One way to pack the example.

    command: run in ROOT. output: the file it makes. fresh: removed before each
    run. stages: its stdout is slimpack's JSON, which tells the stages apart.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    fresh: tuple[Path, ...] = ()
    stages: bool = False


@dataclass
class Runs:
    """What was measured of a method.

    packing: seconds of the work on a prefix alone. content: bytes of the files
    that were packed. size: bytes of the output.
    """

    seconds: list[float] = field(default_factory=list)
    packing: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    content: int = 0
    size: int = 0


def methods(channel: str) -> list[Method]:
    """Return what is compared; slimpack's warm build is what ratios refer to."""
    image, archive = WORK / "serve.tar", WORK / "env.tar"
    build = (
        *("slimpack", "build", "--config", "examples/serve/slimpack.toml"),
        *(
            "--channel",
            channel,
            "--json",
            "--progress",
            "none",
            "--lock",
            str(LOCK),
            "--output",
            str(image),
        ),
    )
    pack = ("conda-pack", "--quiet", "--force", "--prefix", str(PREFIX))
    moved = ("--dest-prefix", PREFIX_IN_IMAGE, "--n-threads", str(THREADS))
    zstd = f"zstd -q -f -T{THREADS} -{DEFAULT.level}"
    return [
        Method("slimpack build, empty cache", build, image, (CACHE, image), stages=True),
        Method("slimpack build, filled cache", build, image, (image,), stages=True),
        *(
            Method(f"conda-pack {kind}", (*pack, *moved, "--output", str(path)), path, (path,))
            for kind in ("tar.gz", "tar.zst")
            for path in [archive.with_suffix(f".{kind}")]
        ),
        Method(
            f"tar and zstd -{DEFAULT.level}, no relocation",
            ("sh", "-c", f"tar -C {PREFIX} -cf - . | {zstd} -o {archive}.plain.zst"),
            Path(f"{archive}.plain.zst"),
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve")
    parser.add_argument("--runs", type=int, default=3, help="of each method [default: 3]")
    parser.add_argument("--name", default="serve", help="of the result [default: serve]")
    parser.add_argument("--channel", help="a channel's name or URL, instead of choosing one")
    options = parser.parse_args(arguments)
    return ended(lambda: bench(options.name, options.runs, options.channel or choose_channel()))


def bench(name: str, count: int, channel: str) -> None:
    """Run all methods in turn, `count` times, and write what came out."""
    if shutil.which("zstd") is None:
        install(("zstd",))
    todo = methods(channel)
    environment = {
        **os.environ,
        "SLIMPACK_CACHE_DIR": str(ROOT / CACHE),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    shutil.rmtree(ROOT / WORK, ignore_errors=True)
    (ROOT / WORK).mkdir(parents=True)
    results = {method.name: Runs() for method in todo}
    for number in range(count):
        for method in todo:
            if not (method.stages or (ROOT / PREFIX).exists()):
                install_prefix()
            say(f"run {number + 1} of {count}: {method.name}")
            for path in method.fresh:
                remove(ROOT / path)
            record(method, measure(method.command, cwd=ROOT, env=environment), results[method.name])
    write(name, todo, results, channel)


def install_prefix() -> None:
    """Install what the first build solved, so that all methods pack the same packages.

    Cold builds empty the package cache, and conda-pack reads from it: this one
    has a cache of its own.
    """
    engine = RattlerEngine(ROOT / WORK / "prefix-cache", ROOT / WORK / "prefix-repodata")
    lock = engine.read_lock(ROOT / LOCK, SUBDIRS[resolve("")])
    engine.install(lock, ROOT / PREFIX)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def record(method: Method, measured: Measured, runs: Runs) -> None:
    """Add one run to those of its method."""
    runs.seconds.append(measured.seconds)
    if method.stages:
        result = json.loads(measured.output)
        stages = dict(result["stages"])
        runs.packing.append(sum(stages[stage] for stage in PACKING))
        runs.content = result["unpacked"]
    else:
        runs.packing.append(measured.seconds)
        runs.content = content(ROOT / PREFIX)
    runs.memory.append(measured.memory)
    runs.size = (ROOT / method.output).stat().st_size


def content(folder: Path) -> int:
    """Return the bytes of all files below a folder, hard links once."""
    files = [path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in files}.values())


def write(name: str, todo: Sequence[Method], results: Mapping[str, Runs], channel: str) -> None:
    """Write NAME.json and NAME.md, and print the latter."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {
        "example": str(EXAMPLE.relative_to(ROOT)),
        "channel": "local" if channel.startswith("file:") else channel,
        "machine": machine(),
        "versions": versions("tar", "zstd"),
        "methods": [
            {
                "name": method.name,
                "command": [part.replace(f"{ROOT.as_uri()}/", "") for part in method.command],
                **asdict(results[method.name]),
            }
            for method in todo
        ],
    }
    text = markdown(todo, results, found)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def markdown(todo: Sequence[Method], results: Mapping[str, Runs], found: Mapping[str, Any]) -> str:
    """Return the table: medians, and how they compare with slimpack's filled cache."""
    ours = results[todo[1].name]
    ours_packing = statistics.median(ours.packing)
    lines = [
        "| method | whole, s | packing, s | ratio | content, MB | size, MB | ratio | memory, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for method in todo:
        runs = results[method.name]
        packing = statistics.median(runs.packing)
        cells = [
            method.name,
            f"{statistics.median(runs.seconds):.1f}",
            f"{packing:.1f}",
            f"{packing / ours_packing:.2f}",
            megabytes(runs.content),
            megabytes(runs.size),
            f"{runs.size / ours.size:.2f}",
            megabytes(int(statistics.median(runs.memory))),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    computer = ", ".join(f"{value}" for value in found["machine"].values())
    used = ", ".join(f"{program} {number}" for program, number in found["versions"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {len(ours.seconds)} runs of {found['example']}, channel: "
            f"{found['channel']}. Packing is the work from the installed prefix on "
            f"({', '.join(PACKING)}); slimpack's whole build also makes the base, solves, "
            "installs and trains the model, and its file is an image with base, application and "
            "bytecode for every module. Memory is the peak of the largest process.",
            "",
            f"Machine: {computer}. Versions: {used}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
