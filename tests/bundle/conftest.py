"""Fixtures: a registry in this process, and sessions with it that do not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slimpack.registry.connecting import Registries
from slimpack.registry.retry import Retry
from tests.registry.conftest import Anybody
from tests.registry.fake import Fake, serving


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def registries() -> Iterator[Registries]:
    """Sessions without credentials that try again at once."""
    with Registries(keychain=Anybody(None), retry=Retry(pause=0, longest=0)) as made:
        yield made
