"""Fixtures: a registry in this process, sessions with it that do not wait, an image."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.registry.connecting import Registries
from slimpack.registry.credentials import Credentials
from slimpack.registry.reference import Reference
from slimpack.registry.retry import Retry
from slimpack.tree import bytes_entry
from tests.oci.oci_images import MTIME, PLAIN, sample_config
from tests.registry.fake import Fake, serving

QUICK = {"pause": 0.0, "longest": 0.0}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials, certificates or proxies of this machine's user."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@dataclass(frozen=True)
class Anybody:
    """The same credentials for every host, to see to whom they are sent."""

    credentials: Credentials | None

    def find(self, host: str, repository: str) -> Credentials | None:
        return self.credentials


Sessions = Callable[..., Registries]


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    """Make sessions that try again at once, with the credentials given."""
    made: list[Registries] = []

    def make(credentials: Credentials | None = None, **settings: object) -> Registries:
        retry = Retry(**{**QUICK, **settings})  # type: ignore[arg-type]
        made.append(Registries(keychain=Anybody(credentials), retry=retry))
        return made[-1]

    yield make
    for registries in made:
        registries.close()


@pytest.fixture
def registries(sessions: Sessions) -> Registries:
    return sessions()


def random_image(folder: Path, *sizes: int, seed: int = 1) -> Image:
    """Return an image of incompressible layers, one of about each size."""
    store = BlobStore(folder, durable=False)
    chance = random.Random(seed)
    layers = [
        build_layer(
            f"layer {number}",
            [bytes_entry(f"data/{number}", chance.randbytes(size))],
            blobs=store,
            mtime=MTIME,
            compression=PLAIN,
        )
        for number, size in enumerate(sizes)
    ]
    return make_image(layers, sample_config(), comment="slimpack")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Three layers, the first of them of 3 MB."""
    return random_image(tmp_path / "made", 3_000_000, 1000, 2000)


def reference(fake: Fake, name: str = "app:1") -> Reference:
    return Reference.parse(f"{fake.host}/{name}")
