"""examples/serve as an image, built once by the command line, and running in Docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_docker.plugin import Services

from benchmarks.running import PORT, Server, docker
from benchmarks.setup.engine import engine_answers
from benchmarks.setup.peers import compose_command
from tests.support.channel import ROOT, missing

EXAMPLE = ROOT / "examples" / "serve"


@dataclass(frozen=True)
class Built:
    """What one run of ``slimpack build`` made; `result` is its --json."""

    tag: str
    tar: Path
    layout: Path
    result: dict[str, Any]


def build(folder: Path, where: Path, cache: Path, *arguments: str) -> Built:
    """Run ``slimpack build`` in the folder `where`; outputs go to `folder`."""
    tag = f"slimpack-test/engine:{uuid.uuid4().hex}"
    tar, layout = folder / "image.tar", folder / "layout"
    command = [sys.executable, "-m", "slimpack", "build", "--tag", tag, "--json"]
    done = subprocess.run(
        [*command, "--output", str(tar), "--output", f"{layout}/", *arguments],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SLIMPACK_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return Built(tag, tar, layout, json.loads(done.stdout))


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """Skip the test where no Docker engine answers."""
    if not engine_answers():
        missing("ENGINE", "no Docker engine answers")


@pytest.fixture(scope="session")
def serve(
    docker_engine: None, channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """The example, in Docker, in a tar and in a layout."""
    folder = tmp_path_factory.mktemp("serve")
    built = build(folder, EXAMPLE, cache_dir, "--channel", channel, "--load")
    yield built
    docker("image", "rm", "--force", built.tag)


# pytest-docker asks these what to start and how.


@pytest.fixture(scope="session")
def docker_compose_command(docker_engine: None, serve: Built) -> str:
    """Compose, with the name of the image in its environment."""
    command = compose_command()
    if not command:
        missing("ENGINE", "there is no Docker Compose 2 (docker compose version)")
    return f"env SLIMPACK_TEST_IMAGE={serve.tag} {command}"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(Path(__file__).with_name("compose.yml"))


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return f"slimpack-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def docker_setup() -> str:
    return "up --detach --no-build"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    # Nothing to wait for: what a container does when it is asked to end is another test.
    return "down --volumes --timeout 0"


@pytest.fixture(scope="session")
def server(docker_services: Services, docker_ip: str, docker_compose_project_name: str) -> Server:
    """The running container, after its first answer."""
    address = f"{docker_ip}:{docker_services.port_for('serve', PORT)}"
    running = Server(f"{docker_compose_project_name}-serve-1", address)
    running.first_prediction()
    return running
