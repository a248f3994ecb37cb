"""Running things in unpacked images, and in an environment: self-tests, import times."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.running import RunError
from slimpack.oci.config import ImageConfig
from slimpack.sandbox import Command, Finished, Prepared

_PASSED = re.compile(rb"^(\d+) checks passed$", re.MULTILINE)
# Of benchmarks/workloads: it says how many of its checks passed, or it has not come to its end.
_COUNTING = "selftest.py"
_SECONDS = 900.0
# Wall-clock and processor time of the imports alone: making the sandbox is not the image's.
IMPORTS = """
import json, sys, time
start = time.perf_counter(), time.process_time()
for name in sys.argv[1:]:
    __import__(name)
print(json.dumps([time.perf_counter() - start[0], time.process_time() - start[1]]))
"""


@dataclass
class Times:
    """Seconds of several runs: on the clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where imports are measured: a root file system or an environment, and its variables."""

    prepared: Prepared
    command: Command


def self_test(prepared: Prepared, config: ImageConfig, argv: Sequence[str]) -> int:
    """Run a self-test in the image, as its user; return how many checks passed, all of them.

    A program's own test, as `nginx -t` is one, counts nothing: it is one check.
    """
    finished = prepared.run(_command(config, tuple(argv)))
    passed = _PASSED.search(finished.stdout)
    if finished.returncode or (passed is None and _COUNTING in argv):
        raise _failed("the self-test", finished)
    return int(passed[1]) if passed else 1


def in_image(prepared: Prepared, config: ImageConfig, modules: Sequence[str]) -> Place:
    """Return where the modules are imported in an image, as its user."""
    return Place(prepared, _command(config, ("python", "-c", IMPORTS, *modules)))


def in_environment(
    prepared: Prepared, config: ImageConfig, prefix: Path, inside: str, modules: Sequence[str]
) -> Place:
    """Return where they are imported in the environment `prefix`, with the image's variables.

    inside: the path that the environment has in the image.
    """
    env = tuple((name, value.replace(inside, str(prefix))) for name, value in config.env)
    argv = (str(prefix / "bin" / "python"), "-c", IMPORTS, *modules)
    return Place(prepared, Command(argv, (*env, ("HOME", "/nonexistent")), timeout=_SECONDS))


def compile_all(prefix: Path) -> None:
    """Compile what has no bytecode that fits, as conda does when it installs."""
    python = prefix / "bin" / "python"
    libraries = [str(path) for path in prefix.glob("lib/python3*") if path.is_dir()]
    # It fails for sources that are wrong on purpose, such as those of lib2to3's tests.
    subprocess.run(
        [python, "-m", "compileall", "-q", *libraries], check=False, stdout=subprocess.DEVNULL
    )


def import_times(places: Mapping[str, Place], runs: int) -> dict[str, Times]:
    """Import everywhere in turn, `runs` times, so that a busy moment meets all places.

    One round more goes before, which brings the files into memory.
    """
    times = {name: Times() for name in places}
    for number in range(runs + 1):
        for name, place in places.items():
            finished = place.prepared.run(place.command)
            if finished.returncode:
                raise _failed(f"importing in {name}", finished)
            wall, cpu = json.loads(finished.stdout.splitlines()[-1])
            if number:
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
    return times


def _command(config: ImageConfig, argv: tuple[str, ...]) -> Command:
    return Command(
        argv=argv,
        env=config.env,
        user=config.user,
        workdir=config.workdir,
        timeout=_SECONDS,
    )


def _failed(what: str, finished: Finished) -> RunError:
    output = (finished.stdout + finished.stderr)[-4000:].decode("utf-8", "replace")
    return RunError(f"{what} failed with exit code {finished.returncode}:\n{output}")
