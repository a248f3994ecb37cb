"""Running things and watching them: a command with its memory, a container's first answer."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PORT = 8000  # where examples/serve listens inside of its container
# A flower of the training set, and what it is.
FLOWER = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
SPECIES = "virginica"
_PAUSE = 0.005  # seconds between two requests: small beside any start-up time
_ANSWER_SECONDS = 60


class RunError(Exception):
    """A command failed, or a container did not answer."""


@dataclass(frozen=True)
class Measured:
    """A command that ended well.

    memory: bytes of the largest process that it was made of. cpu: seconds that processors
    worked for it, whatever else they had to do.
    """

    output: str
    seconds: float
    memory: int
    cpu: float = 0.0


@dataclass
class Runs:
    """What was measured of one way. cpu: seconds. memory: bytes of its largest process."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        """Take one run more."""
        self.seconds.append(measured.seconds)
        self.cpu.append(measured.cpu)
        self.memory.append(measured.memory)


# The kernel counts the memory of whoever starts a program as the program's own, so
# it is started by a process that is small. Ctrl-C is for the program alone.
_LAUNCHER = """
import os, signal, sys
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
signal.signal(signal.SIGINT, signal.SIG_IGN)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as stream:
    stream.write(f"{usage.ru_maxrss * 1024} {usage.ru_utime + usage.ru_stime}")
sys.exit(1 if status else 0)
"""


def measure(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command and wait for it; stderr stays this process's, failure is a RunError."""
    with tempfile.NamedTemporaryFile("r") as memory:
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, memory.name]
        start = time.monotonic()
        done = subprocess.run(
            [*launch, *command],
            check=False,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.monotonic() - start
        if done.returncode:
            raise RunError(f"{' '.join(command)} failed; what it said is above")
        peak, cpu = memory.read().split()
        return Measured(done.stdout, seconds, int(peak), float(cpu))


def slimpack_environment(cache: Path) -> dict[str, str]:
    """Return the variables with which slimpack runs: that of this tree, with a cache of its own."""
    return {**os.environ, "SLIMPACK_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}


def slimpack(*arguments: str, cwd: Path, cache: Path) -> Measured:
    """Run slimpack as this program's Python has it; RunError when it fails."""
    command = (sys.executable, "-m", "slimpack", *arguments)
    return measure(command, cwd=cwd, env=slimpack_environment(cache))


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a docker command; with `check`, failure is a RunError with its message."""
    command = ["docker", *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if check and done.returncode:
        raise RunError(f"docker {arguments[0]} failed: {done.stderr.strip()}")
    return done


@dataclass(frozen=True)
class Server:
    """A running container. started: `time.monotonic()` just before docker was called."""

    name: str
    address: str
    started: float = field(default_factory=time.monotonic)

    def get(self, path: str) -> Any:
        """Return the JSON behind a path."""
        return request(f"http://{self.address}{path}")

    def first_prediction(self) -> tuple[Any, float]:
        """Ask what a flower is, as `first_answer` does."""
        return self.first_answer("/predict", FLOWER)

    def first_answer(self, path: str, body: object = None) -> tuple[Any, float]:
        """Ask until there is an answer; return it and the seconds since the start."""
        while True:
            try:
                answer = request(f"http://{self.address}{path}", body)
                return answer, time.monotonic() - self.started
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                if isinstance(error, urllib.error.HTTPError) or self._is_over():
                    logs = docker("logs", self.name, check=False)
                    raise RunError(
                        f"{self.name} gave no answer: {error}\n{logs.stdout}{logs.stderr}"
                    ) from error
            time.sleep(_PAUSE)

    def _is_over(self) -> bool:
        return time.monotonic() - self.started > _ANSWER_SECONDS


@contextmanager
def serving(image: str) -> Iterator[Server]:
    """Run an image as one should, read-only and with a port of loopback; remove it afterwards."""
    name = f"slimpack-run-{uuid.uuid4().hex[:12]}"
    options = ["--detach", "--name", name, "--read-only", "--tmpfs", "/tmp", "--pull", "never"]
    try:
        started = time.monotonic()
        docker("run", *options, "--publish", f"127.0.0.1::{PORT}", image)
        address = docker("port", name, str(PORT)).stdout.split()[0]
        yield Server(name, address, started)
    finally:
        # The container may exist although `docker run` failed, or was interrupted.
        docker("rm", "--force", "--volumes", name, check=False)


def request(url: str, body: object = None) -> Any:
    """GET a URL, or POST a JSON body to it; return the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(message, timeout=5) as answer:
        return json.load(answer)
