"""Who we are to a registry: found where Docker and podman keep it.

Files, the first with something for the registry wins (containers-auth.json(5) and
Docker's ``config.json``):

1. ``$REGISTRY_AUTH_FILE``, and then no other
2. ``$DOCKER_CONFIG/config.json``
3. ``$XDG_RUNTIME_DIR/containers/auth.json``
4. ``$XDG_CONFIG_HOME/containers/auth.json`` (``~/.config/containers/auth.json``)
5. ``~/.docker/config.json``, unless ``$DOCKER_CONFIG`` is set

In one file the helper that ``credHelpers`` names for the host comes first, then the one in
``credsStore``, then ``auths``, where the longest prefix of ``host/repository`` counts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from slimpack.oci.names import DEFAULT_HOST
from slimpack.registry import helpers
from slimpack.registry.authfile import AuthFile, read_auth_file

HUB_KEY = "https://index.docker.io/v1/"
"""How Docker calls docker.io where it keeps credentials."""


@dataclass(frozen=True)
class Credentials:
    """A way to say who we are; only `username` and `source` may be shown.

    identity_token: an OAuth 2 refresh token. bearer: a token used as it is.
    source: the file or helper that it comes from.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    source: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return tuple(filter(None, (self.password, self.identity_token, self.bearer)))


class Keychain(Protocol):
    """Where credentials are looked up."""

    def find(self, host: str, repository: str) -> Credentials | None:
        """Return the credentials for a repository, None to go without."""


@dataclass(frozen=True)
class OneCredential:
    """The same credentials for every repository of one host."""

    host: str
    credentials: Credentials

    def find(self, host: str, repository: str) -> Credentials | None:
        """Return them if `host` is the one."""
        return self.credentials if host == self.host else None


class FileKeychain:
    """Credentials of the files and helpers that `environ` leads to."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._files: tuple[AuthFile, ...] | None = None
        self._from_helper: dict[tuple[str, str], Credentials | None] = {}
        self._lock = threading.Lock()

    def find(self, host: str, repository: str) -> Credentials | None:
        """Return what is found first.

        Raises InputError for a file that cannot be read, RegistryError for a helper
        that fails. Each helper is asked once.
        """
        with self._lock:
            if self._files is None:
                self._files = tuple(map(read_auth_file, auth_paths(self._environ)))
            for file in self._files:
                if found := self._in(file, host, repository):
                    return found
        return None

    def _in(self, file: AuthFile, host: str, repository: str) -> Credentials | None:
        for helper in file.helpers(host):
            if (helper, host) not in self._from_helper:
                self._from_helper[helper, host] = _ask(helper, host)
            if found := self._from_helper[helper, host]:
                return found
        entry = file.entry(host, repository)
        if entry is None:
            return None
        return Credentials(
            entry.username, entry.password, entry.identity_token, entry.bearer, str(file.path)
        )


def helper_key(host: str) -> str:
    """Return what helpers call a host."""
    return HUB_KEY if host == DEFAULT_HOST else host


def _ask(helper: str, host: str) -> Credentials | None:
    answer = helpers.get(helper, helper_key(host))
    if answer is None:
        return None
    source = f"docker-credential-{helper}"
    # A name that no user can have says that the secret is a refresh token.
    if answer.username == "<token>":
        return Credentials(identity_token=answer.secret, source=source)
    return Credentials(answer.username, answer.secret, source=source)


def auth_paths(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the files that may hold credentials, in the order in which they are asked."""
    if own := environ.get("REGISTRY_AUTH_FILE"):
        return (Path(own),)
    return tuple(_paths(environ))


def _paths(environ: Mapping[str, str]) -> Iterator[Path]:
    home = environ.get("HOME", "")
    docker = environ.get("DOCKER_CONFIG", "")
    if docker:
        yield Path(docker, "config.json")
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    if config := environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield Path(config, "containers", "auth.json")
    if home and not docker:
        yield Path(home, ".docker", "config.json")


def login_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that logins are written to: Docker's, or ``$REGISTRY_AUTH_FILE``."""
    if own := environ.get("REGISTRY_AUTH_FILE"):
        return Path(own)
    home = environ.get("HOME", "")
    folder = environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker")
    return Path(folder, "config.json") if folder else None
