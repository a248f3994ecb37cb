"""``python -m benchmarks.setup engine | tests | stop``; see the package's text."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.channel.build import build_channel
from benchmarks.channel.errors import ChannelError
from benchmarks.running import ROOT
from benchmarks.setup.apptainer import ensure_apptainer
from benchmarks.setup.apt import SetupError
from benchmarks.setup.engine import ensure_engine, stop_engine
from benchmarks.setup.peers import ensure_newer_peers, ensure_peers
from slimpack.errors import SlimpackError

TAKEN = 20 * 10**9
"""Bytes of disk that a run of all tests takes at most, with the channel and the engine."""


def say(line: str) -> None:
    """Progress goes to stderr."""
    print(line, file=sys.stderr, flush=True)


def ensure_channel() -> None:
    """Build the local channel, or what changed in it."""
    build_channel(report=say)


# What tests need, each by itself: what one machine lacks, another test does without.
PARTS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("Docker engine", ensure_engine),
    ("container tools, shells and archivers", ensure_peers),
    ("newer container tools", ensure_newer_peers),
    ("Apptainer", ensure_apptainer),
    ("local channel", ensure_channel),
)


def tell_where_the_disk_is_full() -> None:
    """Say so beforehand: it fails tests in ways that do not look like it."""
    for folder in (ROOT, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free
        if free < TAKEN:
            said = f"{free / 1e9:.0f} GB are free, and all tests take up to {TAKEN / 1e9:.0f} GB"
            say(f"{folder}: {said}")


def prepare_tests() -> None:
    """Set up every part that this machine allows; the tests of the others skip themselves."""
    tell_where_the_disk_is_full()
    for name, ensure in PARTS:
        try:
            ensure()
        except (SetupError, ChannelError, SlimpackError) as problem:
            say(f"not set up: {name}: {problem}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.setup")
    actions = {"engine": ensure_engine, "tests": prepare_tests, "stop": stop_engine}
    parser.add_argument("action", choices=actions)
    try:
        actions[parser.parse_args(arguments).action]()
    except SetupError as problem:
        say(f"error: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
