"""``python -m benchmarks.delta``: what a new release costs a far side, as a delta bundle.

Workload W1 is built twice: with a next build of one pure package, and with another version of
scikit-learn. The old image goes into a bundle and to an OCI layout, the far side; then the new
one follows whole, and as a delta, which is applied, and has to give the same digest. The result
goes to benchmarks/results/delta.json and delta.md.
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

from benchmarks.demo import ROOT, say
from benchmarks.ending import ended
from benchmarks.machine import machine
from benchmarks.parts import RESULTS
from benchmarks.patch import pure_pair, scikit_learn_pair
from benchmarks.running import RunError, Runs, measure
from slimpack import __version__
from slimpack.bundle.reader import open_bundle
from slimpack.cli.table import megabytes
from slimpack.oci.read import read_image

WORK = ROOT / "build" / "bench-delta"
STEPS = ("create, whole", "create, delta", "apply, whole", "apply, delta")
_NAME = "registry.example/w1:1"


@dataclass
class Pair:
    """Two releases. Bytes: of the bundles, and of the layers that changed, as they are in each."""

    whole: int = 0
    delta: int = 0
    changed: int = 0
    sent: int = 0
    runs: dict[str, Runs] = field(default_factory=lambda: {step: Runs() for step in STEPS})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delta")
    parser.add_argument("--runs", type=int, default=3, help="of each [default: 3]")
    parser.add_argument(
        "--versions", nargs=2, default=("1.8.0", "1.9.0"), help="of scikit-learn [1.8.0 1.9.0]"
    )
    options = parser.parse_args(arguments)
    return ended(lambda: bench(options.runs, *options.versions), WORK)


def bench(count: int, before: str, after: str) -> None:
    """Measure both pairs, `count` times, and write what came out."""
    images = {
        "the next build of a pure package": pure_pair(),
        f"scikit-learn {before} -> {after}": scikit_learn_pair(before, after),
    }
    found = {name: Pair() for name in images}
    for number in range(count):
        for name, (old, new) in images.items():
            say(f"run {number + 1} of {count}: {name}")
            carry(old, new, found[name])
    write(found)


def carry(old: Path, new: Path, pair: Pair) -> None:
    """Bring the old image to a far side, and then the new one in both ways."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    run("create", f"{old}/", "--name", f"{old}/={_NAME}", "-o", "old.tar")
    create = ("create", f"{new}/", "--name", f"{new}/={_NAME}")
    digests = set()
    for kind, more in (("whole", ()), ("delta", ("--since", "old.tar"))):
        run(*create, *more, "-o", f"{kind}.tar", runs=pair.runs[f"create, {kind}"])
        run("apply", "old.tar", "--to", f"layout={kind}")
        run("apply", f"{kind}.tar", "--to", f"layout={kind}", runs=pair.runs[f"apply, {kind}"])
        digests.add(read_image(WORK / kind).digest)
    if digests != {read_image(new).digest}:
        raise RunError("the far side has another image than the one that was sent")
    statement = open_bundle(WORK / "delta.tar").statement
    layers = {layer.digest: layer.size for layer in read_image(new).layers}
    absent = {blob.digest for blob in statement.absent}
    pair.whole, pair.delta = ((WORK / f"{kind}.tar").stat().st_size for kind in ("whole", "delta"))
    pair.changed = sum(size for digest, size in layers.items() if digest not in absent)
    pair.sent = sum(patch.size for patch in statement.patches)
    pair.sent += sum(blob.size for blob in statement.blobs if blob.digest in layers)


def run(*words: str, runs: Runs | None = None) -> None:
    """Run a command of bundles; with `runs`, after the disk has nothing left to do."""
    environment = {**os.environ, "SLIMPACK_CACHE_DIR": str(WORK / "cache")}
    if runs is not None:
        os.sync()
    command = (sys.executable, "-m", "slimpack", "bundle", *words, "--quiet")
    measured = measure(command, cwd=WORK, env=environment)
    if runs is not None:
        runs.add(measured)


def write(found: Mapping[str, Pair]) -> None:
    """Write the results as JSON and as tables."""
    told = {
        "machine": machine(),
        "versions": {"slimpack": __version__},
        "pairs": {name: asdict(pair) for name, pair in found.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "delta.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    text = _tables(found)
    (RESULTS / "delta.md").write_text(text, encoding="utf-8")
    print(text)


def _tables(found: Mapping[str, Pair]) -> str:
    lines = [
        "| new release | whole bundle, MB | delta, MB | of it | changed layers, MB | as they "
        "travel, MB | of them |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, pair in found.items():
        cells = (
            *(name, megabytes(pair.whole), f"{pair.delta / 1e6:.3f}"),
            *(_percent(pair.delta, pair.whole), f"{pair.changed / 1e6:.2f}"),
            *(f"{pair.sent / 1e6:.3f}", _percent(pair.sent, pair.changed)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| new release | step | seconds | CPU seconds | memory, MB |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    for name, pair in found.items():
        for step, runs in pair.runs.items():
            middle = (statistics.median(runs.seconds), statistics.median(runs.cpu))
            memory = megabytes(max(runs.memory))
            lines.append(f"| {name} | {step} | {middle[0]:.2f} | {middle[1]:.2f} | {memory} |")
    count = len(next(iter(found.values())).runs[STEPS[0]].seconds)
    computer = ", ".join(machine().values())
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {count} runs, whole processes with their start; memory is the peak of the "
            "largest process. The far side is an OCI layout that has the old image; after "
            "either way it has the new one, digest by digest.",
            "",
            f"Machine: {computer}. slimpack {__version__}.",
            "",
        ]
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
