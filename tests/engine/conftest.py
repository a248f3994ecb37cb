"""examples/serve as an image, built once by the command line, and running in Docker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import Services

from benchmarks.running import PORT, Server, docker
from benchmarks.setup.engine import engine_answers
from benchmarks.setup.peers import compose_command
from tests.support.channel import ROOT, missing
from tests.support.images import Built, build

EXAMPLE = ROOT / "examples" / "serve"


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
    built = build(tmp_path_factory.mktemp("serve"), EXAMPLE, cache_dir, "-c", channel, "--load")
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
