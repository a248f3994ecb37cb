"""``python -m benchmarks.slim``: what slimming gives, and how far it is from the lower bound.

The workloads of benchmarks/workloads are built with every profile, and with some at the
level that releases take. In each image the workload's self-test runs. The image that is
not slimmed is traced: what the service and the self-test touch, packed in the same way, is
what profiles are compared with (`benchmarks.slimming.bound`). Import times in images are
compared with those in the installed environment.

The result goes to benchmarks/results/slim.json and slim.md. What a run does not measure
stays there as it was: ``--workload w3 --level 19`` can have an hour of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from benchmarks.catalogue import Workload, workloads
from benchmarks.demo import ROOT, choose_channel
from benchmarks.ending import ended
from benchmarks.machine import machine
from benchmarks.parts import RESULTS
from benchmarks.setup.apt import install
from benchmarks.slimming.results import PROFILES, Found, markdown
from benchmarks.slimming.workload import (
    RELEASE_LEVEL,
    RELEASED,
    Bench,
    Plan,
)
from slimpack.oci.compress import DEFAULT
from slimpack.sandbox import choose_sandbox

WORK = ROOT / "build" / "bench-slim"
RESULT = RESULTS / "slim.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results; errors are a few words on stderr."""
    options = _parser().parse_args(arguments)

    def work() -> None:
        chosen = workloads(tuple(options.workloads or ())).values()
        groups = {group for workload in chosen for group in workload.groups}
        plan = Plan(
            profiles=tuple(options.profiles or PROFILES),
            levels=tuple(options.levels or (DEFAULT.level, RELEASE_LEVEL)),
            runs=options.runs,
            channel=options.channel or choose_channel(groups),
        )
        for workload in chosen:
            for found in bench(workload, plan):
                write(workload.name, found, plan)
        print(RESULT.with_suffix(".md").read_text(encoding="utf-8"))

    return ended(work, interrupted="what was measured until now is in the results")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slim")
    names = list(workloads())
    levels = (DEFAULT.level, RELEASE_LEVEL)
    one = "only this one; more than once for several [default: all]"
    parser.add_argument("--workload", dest="workloads", action="append", choices=names, help=one)
    parser.add_argument("--profile", dest="profiles", action="append", choices=PROFILES, help=one)
    parser.add_argument(
        "--level",
        dest="levels",
        action="append",
        type=int,
        choices=levels,
        help=f"{one}; {RELEASE_LEVEL} takes minutes and is for {' and '.join(RELEASED)}",
    )
    parser.add_argument(
        "--runs", type=int, default=7, help="of the imports, 0 for none [default: 7]"
    )
    parser.add_argument("--channel", help="a channel's name or URL, instead of choosing one")
    return parser


def bench(workload: Workload, plan: Plan) -> Iterator[Found]:
    """Measure one workload, step by step. Its images go at the end, the packages stay."""
    if shutil.which("strace") is None:
        install(("strace",))
    folder = WORK / workload.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield from Bench(workload, plan, choose_sandbox(), folder, WORK / "cache").measured()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(name: str, found: Found, plan: Plan) -> None:
    """Add what was found to slim.json, write slim.md anew."""
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    known = {key: Found.of_json(value) for key, value in before.get("workloads", {}).items()}
    known[name] = known[name].updated(found) if name in known else found
    known = dict(sorted(known.items()))
    channel = "local" if plan.channel.startswith("file:") else plan.channel
    whole = {
        "channel": channel,
        "machine": machine(),
        "versions": {each: version(each) for each in ("slimpack", "py-rattler", "zstandard")},
        "workloads": {key: value.to_json() for key, value in known.items()},
    }
    text = markdown(known, channel=channel)
    RESULTS.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    RESULT.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
