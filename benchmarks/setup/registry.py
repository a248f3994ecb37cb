"""docker-registry (CNCF distribution), run for a test or a measurement."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.setup.apt import SetupError

_SECONDS = 20
_TRIES = 3  # of finding a port that is still free when the registry takes it


@dataclass(frozen=True)
class Settings:
    """How the registry is set up.

    certificate, key: PEM files, for TLS. auth: the section ``auth`` of its configuration.
    address: what it listens on. inside: the command that runs it elsewhere, such as
    ``ip netns exec NAME``.
    """

    certificate: Path | None = None
    key: Path | None = None
    auth: Mapping[str, object] = field(default_factory=dict)
    address: str = "127.0.0.1"
    inside: tuple[str, ...] = ()


@contextmanager
def docker_registry(folder: Path, settings: Settings | None = None) -> Iterator[str]:
    """Run a registry that keeps everything in `folder`; give its ``host:port``.

    Raises SetupError when it is not installed or does not start.
    """
    if shutil.which("docker-registry") is None:
        raise SetupError("docker-registry is not installed")
    settings = settings or Settings()
    folder.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(_TRIES)):
        host = f"{settings.address}:{free_port()}"
        path = folder / "config.json"  # JSON is YAML
        path.write_text(json.dumps(_configuration(folder, host, settings)))
        command = [*settings.inside, "docker-registry", "serve", str(path)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            if _answers(process, host):
                yield host
                return
            if not left:
                raise SetupError(f"docker-registry does not start: {(folder / 'log').read_text()}")
        finally:
            process.terminate()
            process.wait()


def _configuration(folder: Path, host: str, settings: Settings) -> dict[str, object]:
    http: dict[str, object] = {"addr": host, "secret": "of no importance"}
    if settings.certificate:
        http["tls"] = {"certificate": str(settings.certificate), "key": str(settings.key)}
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
        },
        "http": http,
        **({"auth": dict(settings.auth)} if settings.auth else {}),
    }


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], host: str) -> bool:
    name, _, port = host.partition(":")
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection((name, int(port)), timeout=1):
                return True
        except OSError:
            time.sleep(0.02)
    return False
