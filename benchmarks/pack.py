"""``python -m benchmarks.pack``: `slimpack pack` beside conda-pack, on one prefix, in one run.

The environment of examples/serve is installed once. Both tools pack it in the same
formats, at the same level, with the same number of threads, taking turns; medians
are compared. The result goes to benchmarks/results/pack.json and pack.md.

conda-pack's tar.zst has neither: it always takes level 9 and one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.demo import EXAMPLE, ROOT, choose_channel, say
from benchmarks.ending import ended
from benchmarks.machine import machine, versions
from benchmarks.parts import RESULTS
from benchmarks.running import measure
from benchmarks.serve import Runs, content, remove
from benchmarks.setup.apt import install
from slimpack.cli.table import megabytes
from slimpack.env.inputs.spec import read_environment_yml
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.platforms import SUBDIRS, resolve, virtual_packages

WORK = ROOT / "build" / "bench-pack"
PREFIX = WORK / "prefix"
THREADS = 2
GLIBC = "2.36"  # of the local channel's packages


@dataclass(frozen=True)
class Case:
    """An archive format at a level, and both tools' commands for it."""

    suffix: str
    level: int

    @property
    def name(self) -> str:
        """What the table says."""
        return f"{self.suffix}, level {self.level}"

    def commands(self) -> dict[str, tuple[str, ...]]:
        """Return tool -> command; the archive's name is left to `output`."""
        level, threads, prefix = str(self.level), str(THREADS), str(PREFIX)
        return {
            "conda-pack": (
                *("conda-pack", "--quiet", "--force", "--prefix", prefix),
                *("--compress-level", level, "--n-threads", threads),
                *("--output", str(self.output("conda-pack"))),
            ),
            "slimpack": (
                *("slimpack", "pack", prefix, "--json", "--progress", "none", "--force"),
                *("--level", level, "--threads", threads),
                *("--output", str(self.output("slimpack"))),
            ),
        }

    def output(self, tool: str) -> Path:
        """Return where the tool writes."""
        return WORK / f"{tool}.{self.suffix}"


CASES = (Case("tar.zst", 9), Case("tar.gz", 6), Case("zip", 6), Case("squashfs", 9))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pack")
    parser.add_argument("--runs", type=int, default=3, help="of each [default: 3]")
    parser.add_argument("--channel", help="a channel's name or URL, instead of choosing one")
    parser.add_argument(
        "--format",
        dest="formats",
        action="append",
        choices=[case.suffix for case in CASES],
        help="only this one; more than once for several [default: all]",
    )
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if not options.formats or case.suffix in options.formats]
    return ended(lambda: bench(cases, options.runs, options.channel or choose_channel()))


def bench(cases: Sequence[Case], count: int, channel: str) -> None:
    """Run the cases in turn, `count` times, and write what came out."""
    if shutil.which("mksquashfs") is None:
        install(("squashfs-tools",))
    shutil.rmtree(WORK, ignore_errors=True)
    install_prefix(channel)
    environment = {
        **os.environ,
        "SLIMPACK_CACHE_DIR": str(WORK / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    results = {(case, tool): Runs() for case in cases for tool in case.commands()}
    for number in range(count):
        for case in cases:
            for tool, command in case.commands().items():
                say(f"run {number + 1} of {count}: {tool}, {case.name}")
                remove(case.output(tool))
                measured = measure(command, cwd=ROOT, env=environment)
                runs = results[case, tool]
                runs.seconds.append(measured.seconds)
                runs.memory.append(measured.memory)
                runs.size = case.output(tool).stat().st_size
                runs.content = unpacked(tool, measured.output)
    write(results, channel)


def install_prefix(channel: str) -> None:
    """Solve and install the example's environment."""
    engine = RattlerEngine(WORK / "packages", WORK / "repodata")
    platform = resolve("")
    spec = read_environment_yml(EXAMPLE / "environment.yml").with_channels((channel,))
    offered = virtual_packages(platform, glibc=GLIBC)
    engine.install(engine.solve(spec, SUBDIRS[platform], offered), PREFIX)


def unpacked(tool: str, output: str) -> int:
    """Return the bytes of the files in an archive."""
    return int(json.loads(output)["unpacked"]) if tool == "slimpack" else content(PREFIX)


def write(results: Mapping[tuple[Case, str], Runs], channel: str) -> None:
    """Write pack.json and pack.md, and print the latter."""
    found = {
        "example": str(EXAMPLE.relative_to(ROOT)),
        "channel": "local" if channel.startswith("file:") else channel,
        "threads": THREADS,
        "machine": machine(),
        "versions": versions("tar", "zstd"),
        "results": [
            {"case": asdict(case), "tool": tool, **asdict(runs)}
            for (case, tool), runs in results.items()
        ],
    }
    text = markdown(results)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "pack.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "pack.md").write_text(text, encoding="utf-8")
    print(text)


def markdown(results: Mapping[tuple[Case, str], Runs]) -> str:
    """Return the table: medians, and slimpack's as a ratio to conda-pack's."""
    lines = [
        "| format | tool | time, s | ratio | content, MB | size, MB | ratio | memory, MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (case, tool), runs in results.items():
        theirs = results[case, "conda-pack"]
        seconds, reference = statistics.median(runs.seconds), statistics.median(theirs.seconds)
        cells = [
            case.name,
            tool,
            f"{seconds:.1f}",
            f"{seconds / reference:.2f}",
            megabytes(runs.content),
            megabytes(runs.size),
            f"{runs.size / theirs.size:.2f}",
            megabytes(int(statistics.median(runs.memory))),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    count = len(next(iter(results.values())).seconds)
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {count} runs, {THREADS} threads, one installed prefix with its package "
            "cache. slimpack compares every file with the digest that its package declares, adds "
            "bytecode for every module that has none, and writes the same bytes every time. "
            "conda-pack's tar.zst and squashfs ignore level or threads. Memory is the peak of the "
            "largest process.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
