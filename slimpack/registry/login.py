"""Logging in: credentials are tried, and then kept where docker and podman find them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from slimpack.errors import InputError
from slimpack.oci.names import has_host, split_name
from slimpack.registry import helpers
from slimpack.registry.authfile import AuthFile, Entry, read_auth_file
from slimpack.registry.connecting import Registries
from slimpack.registry.credentials import (
    Credentials,
    OneCredential,
    auth_paths,
    helper_key,
    login_path,
)
from slimpack.registry.failures import DeniedError


@dataclass(frozen=True)
class Place:
    """Where credentials are kept. plain: in a file, without encryption."""

    name: str
    plain: bool


def check_host(text: str) -> str:
    """Return the host of ``host``, ``host:port`` or ``https://host``; InputError for others."""
    host = urlsplit(text).netloc if "://" in text else text.rstrip("/")
    try:
        # What does not look like a host would be a user of docker.io.
        is_one = "/" not in host and has_host(f"{host}/x")
        found = split_name(f"{host}/x")[0] if is_one else ""
    except InputError:
        found = ""
    if not found:
        raise InputError(
            f"{text[:300]!r} is not the host of a registry",
            hint="write it like ghcr.io or registry.example.org:5000",
        )
    return found


def login(
    host: str,
    username: str,
    password: str,
    *,
    insecure: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Place:
    """Try credentials, and keep them; return where.

    Raises DeniedError when the registry does not take them, RegistryError when it cannot
    be reached or a helper fails, InputError when there is nowhere to keep them.
    """
    path = login_path(environ)
    if path is None:
        raise InputError("there is no home folder to keep credentials in", hint="set DOCKER_CONFIG")
    file = read_auth_file(path)
    keychain = OneCredential(host, Credentials(username, password))
    with Registries(keychain=keychain, insecure=insecure, environ=environ) as registries:
        try:
            registries.of(host).check()
        except DeniedError as error:
            error.hint = (
                "check user name and password; many registries want an access token as password"
            )
            raise
    key = helper_key(host)
    (helper, *_) = file.helpers(host) or ("",)
    if helper:
        helpers.store(helper, key, helpers.Answer(username, password))
        file.with_entry(key, None, kept_elsewhere=True).write()
        return Place(f"docker-credential-{helper}", plain=False)
    file.with_entry(key, Entry(username, password)).write()
    return Place(str(path), plain=True)


def logout(host: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Forget the credentials of a host, in every file and helper; return where there were some."""
    found: list[str] = []
    for path in dict.fromkeys((*auth_paths(environ), *filter(None, [login_path(environ)]))):
        found += _forget(read_auth_file(path), host)
    return tuple(dict.fromkeys(found))


def _forget(file: AuthFile, host: str) -> list[str]:
    key = helper_key(host)
    found = [
        f"docker-credential-{helper}" for helper in file.helpers(host) if helpers.erase(helper, key)
    ]
    if file.lists(host):
        had = file.entry(host, "") is not None
        file.with_entry(key, None).write()
        found += [str(file.path)] if had else []
    return found
