"""``python -m benchmarks.demo``: builds examples/serve, runs it in Docker, asks it, tells numbers.

Everything goes to build/: the local channel, a package cache, the image as a
tar. In Docker there is the image slimpack-demo:1.0 afterwards, and no container.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import rattler

from benchmarks.channel.build import build_channel
from benchmarks.channel.errors import ChannelError
from benchmarks.running import ROOT as ROOT
from benchmarks.running import SPECIES, Measured, RunError, docker, measure, serving
from slimpack.cli.table import megabytes, table

EXAMPLE = ROOT / "examples" / "serve"
CACHE = ROOT / "build" / "demo-cache"
OUTPUT = ROOT / "build" / "demo" / "serve.tar"
IMAGE = "slimpack-demo:1.0"
_USER = 65532


def say(line: str) -> None:
    """Progress goes to stderr; stdout stays for the result."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; errors are a few words on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--channel", help="a channel's name or URL, instead of choosing one")
    parser.add_argument("--cold", action="store_true", help="empty the demo's cache first")
    options = parser.parse_args(arguments)
    try:
        demo(options.channel, cold=options.cold)
    except (RunError, ChannelError) as problem:
        say(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def demo(channel: str | None, *, cold: bool) -> None:
    """Build, run, ask, tell."""
    if channel is None:
        channel = choose_channel()
    if cold:
        shutil.rmtree(CACHE, ignore_errors=True)
    was_cold = not CACHE.exists()
    measured = build(channel)
    result = json.loads(measured.output)
    with serving(IMAGE) as server:
        say("waiting for the first answer")
        answer, seconds = server.first_prediction()
        check(server.name, answer, server.get("/health"))
    print(f"\n/predict answered {json.dumps(answer)}\n")
    print(table(("", "value"), list(rows(result, measured, seconds, cold=was_cold)), right=(1,)))
    print(f"\nThe image is in Docker as {IMAGE} and in {OUTPUT.relative_to(ROOT)}.")


def choose_channel(groups: Collection[str] = ()) -> str:
    """Return conda-forge where it can be reached, else the URL of the local channel.

    groups: of packages that the local channel needs besides the demo's.
    """
    address = f"{rattler.Channel('conda-forge').base_url}noarch/repodata.json.zst"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5):
            say("channel: conda-forge")
            return "conda-forge"
    except (urllib.error.URLError, OSError) as problem:
        reason = getattr(problem, "reason", problem)
        say(f"channel: the local one of this repository (conda-forge is not reachable: {reason})")
    return build_channel(groups=groups, report=say).as_uri()


def build(channel: str) -> Measured:
    """Build the example as a user does, with the command line."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "slimpack", "build", "--channel", channel, "--tag", IMAGE]
    sinks = ["--load", "--output", str(OUTPUT)]
    shown = ["slimpack", *command[3:], "--load", "--output", str(OUTPUT.relative_to(ROOT))]
    say(f"in examples/serve: {' '.join(shown)}")
    environment = {**os.environ, "SLIMPACK_CACHE_DIR": str(CACHE)}
    style = ["--json", "--progress", "bar" if sys.stderr.isatty() else "line"]
    return measure([*command, *sinks, *style], cwd=EXAMPLE, env=environment)


def check(container: str, answer: Any, health: Any) -> None:
    """Fail unless the answer is right and the container is what slimpack promises."""
    if answer["species"] != SPECIES:
        raise RunError(f"the model took a {SPECIES} for {answer['species']}")
    if health["uid"] != _USER:
        raise RunError(f"the service runs as user {health['uid']}, not {_USER}")
    shell = docker("exec", container, "/bin/sh", "-c", "exit 0", check=False)
    if shell.returncode == 0 or "no such file" not in shell.stdout + shell.stderr:
        raise RunError(f"there is a shell in the image, or none could be looked for: {shell}")


def rows(result: Any, build: Measured, seconds: float, *, cold: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table."""
    yield "packages", str(result["packages"])
    yield "files", str(result["files"])
    yield "unpacked MB", megabytes(result["unpacked"])
    yield "compressed MB", megabytes(result["size"])
    yield "layers", str(len(result["layers"]))
    for name, value in result["stages"]:
        yield f"  {name}, s", f"{value:.1f}"
    yield f"build with {'an empty' if cold else 'a filled'} cache, s", f"{build.seconds:.1f}"
    yield "peak memory of the build, MB", megabytes(build.memory)
    yield "docker run to first good answer, s", f"{seconds:.2f}"
    yield "user id in the container", str(_USER)
    yield "shell in the image", "none"


if __name__ == "__main__":
    sys.exit(main())
