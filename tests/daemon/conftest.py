"""Real engines of the tests' own: nothing of this machine's is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests

from slimpack.daemon.containerd import Ctr
from slimpack.daemon.podman import Program, Socket
from slimpack.errors import DaemonError
from tests.daemon.images import LABEL
from tests.support.channel import missing

_DEADLINE = 60  # seconds for an engine to answer; only a broken one takes them


@pytest.fixture
def engine() -> Iterator[Any]:
    """The Docker engine of this machine, with every image of the test removed afterwards."""
    try:
        client: Any = docker.APIClient(timeout=60, **docker.utils.kwargs_from_env())
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        missing("ENGINE", f"no Docker engine: {error}")
    yield client
    for found in client.images(filters={"label": LABEL}):
        client.remove_image(found["Id"], force=True)
    client.close()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short name: podman's and containerd's sockets lie in it."""
    if os.geteuid():
        missing("ENGINE", "podman and containerd are tested as root only")
    with tempfile.TemporaryDirectory(prefix="slimpack-test-") as name:
        yield Path(name)
        # Engines leave mounts behind, and what is mounted cannot be removed.
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in reversed([mount for mount in mounts if mount.startswith(f"{name}/")]):
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="session")
def podman_program(folder: Path) -> Program:
    """podman with a storage of its own."""
    if shutil.which("podman") is None:
        missing("ENGINE", "podman is not installed")
    places = ("--root", f"{folder}/podman", "--runroot", f"{folder}/run")
    return Program(("podman", *places, "--storage-driver", "overlay"))


@pytest.fixture(scope="session")
def podman_socket(folder: Path, podman_program: Program) -> Iterator[str]:
    """The address of a podman service over the same storage."""
    address = f"unix://{folder}/podman.sock"
    argv = [*podman_program.argv, "system", "service", "--time", "0", address]
    with _process(argv, folder / "podman.log", lambda: Socket.open(address).close()):
        yield address


@pytest.fixture(scope="session")
def containerd(folder: Path) -> Iterator[Ctr]:
    """A containerd with folders of its own."""
    for program in ("containerd", "ctr"):
        if shutil.which(program) is None:
            missing("ENGINE", f"{program} is not installed")
    ctr = Ctr(f"{folder}/containerd.sock", "slimpack-test")
    config = folder / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{ctr.address}"\n'
    )
    argv = ["containerd", "--config", str(config)]
    with _process(argv, folder / "containerd.log", lambda: ctr.call("version")):
        yield ctr


@contextmanager
def _process(argv: list[str], log: Path, answers: Callable[[], object]) -> Iterator[None]:
    """Run an engine until the end of the block, which begins when it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _DEADLINE
        while True:
            try:
                answers()
                break
            except DaemonError:
                if process.poll() is not None or time.monotonic() > end:
                    missing("ENGINE", f"{argv[0]} does not start: {log.read_text()[-2000:]}")
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
