"""Fixtures: registries in this process and real ones, as in tests/registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.setup.registry import docker_registry
from slimpack.registry.connecting import Registries
from slimpack.registry.retry import Retry
from tests.registry.conftest import Anybody
from tests.registry.fake import Fake, serving
from tests.support.channel import missing


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def registries() -> Iterator[Registries]:
    """Sessions without credentials that try again at once."""
    with Registries(keychain=Anybody(None), retry=Retry(pause=0, longest=0)) as made:
        yield made


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The host of a real registry, which keeps everything in ``registry/``."""
    if shutil.which("docker-registry") is None:
        missing("PEERS", "docker-registry is not installed")
    with docker_registry(tmp_path / "registry") as host:
        yield host
