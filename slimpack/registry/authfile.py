"""Files with credentials: Docker's ``config.json`` and podman's ``auth.json``.

Formats: docker/cli, cli/config/configfile; containers-auth.json(5). A key of ``auths``
is a host, a URL (Docker's old form, of which the host counts), or
``host/namespace[/repository]``. Messages name a file and a key, never a value.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.names import DEFAULT_HOST

_MAX = 4 << 20
_HUB = ("index.docker.io", "registry-1.docker.io")
_HINT = "correct the file, or log in again with: slimpack login"


@dataclass(frozen=True)
class Entry:
    """Credentials of one key."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)


@dataclass(frozen=True)
class AuthFile:
    """What a file says; `data` has every key of it, those that others own included."""

    path: Path
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def helpers(self, host: str) -> tuple[str, ...]:
        """Return the names of the credential helpers for a host, the one to ask first first."""
        own = self._mapping("credHelpers")
        named = [own[key] for key in own if _place(key) == host]
        names = (*named, self.data.get("credsStore"))
        return tuple(dict.fromkeys(self._text(name, "credHelpers") for name in names if name))

    def lists(self, host: str) -> bool:
        """Tell whether there is a key for the host as a whole, with or without credentials."""
        return any(_place(key) == host for key in self._mapping("auths"))

    def entry(self, host: str, repository: str) -> Entry | None:
        """Return the entry whose key is the longest prefix of host/repository, None if none.

        Raises InputError for an entry that cannot be read.
        """
        auths = self._mapping("auths")
        by_place = {_place(key): key for key in auths}
        for place in _prefixes(host, repository):
            if place in by_place and (found := self._read(by_place[place], auths)):
                return found
        return None

    def with_entry(
        self, key: str, entry: Entry | None, *, kept_elsewhere: bool = False
    ) -> AuthFile:
        """Return the file with other credentials for `key`, None for none at all.

        kept_elsewhere: a helper has them; Docker lists the key all the same.
        """
        data = dict(self.data)
        place = _place(key)
        auths = {k: v for k, v in self._mapping("auths").items() if _place(k) != place}
        if kept_elsewhere:
            auths[key] = {}
        elif entry is not None:
            user = f"{entry.username}:{entry.password}".encode()
            auths[key] = {"auth": base64.b64encode(user).decode()}
            if entry.identity_token:
                auths[key]["identitytoken"] = entry.identity_token
        data["auths"] = auths
        return AuthFile(self.path, data)

    def write(self) -> None:
        """Replace the file; nobody else can read it. Raises SlimpackError."""
        target = self.path.resolve()
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, mode=0o700)
        with atomic_file(target) as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(json.dumps(self.data, indent=2).encode() + b"\n")

    def _read(self, key: str, auths: Mapping[str, Any]) -> Entry | None:
        value = auths[key]
        if not isinstance(value, dict):
            raise self._bad(f"auths[{key[:100]!r}] is not an object")
        fields = {
            name: self._text(value.get(name) or "", f"auths[{key[:100]!r}].{name}")
            for name in ("auth", "username", "password", "identitytoken", "registrytoken")
        }
        username, password = fields["username"], fields["password"]
        if fields["auth"]:
            try:
                text = base64.b64decode(fields["auth"], validate=True).decode()
            except ValueError:
                # Without the cause: its text holds what could not be read.
                raise self._bad(f"auths[{key[:100]!r}].auth is not base64") from None
            username, colon, password = text.partition(":")
            if not colon:
                raise self._bad(f"auths[{key[:100]!r}].auth is not USER:PASSWORD in base64")
        # Docker pads with NUL bytes what it decodes.
        found = Entry(
            username, password.strip("\0"), fields["identitytoken"], fields["registrytoken"]
        )
        return found if found != Entry() else None

    def _mapping(self, key: str) -> dict[str, Any]:
        found = self.data.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise self._bad(f"{key} is not an object")
        return found

    def _text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self._bad(f"{key} has a value that is not a string")
        return value

    def _bad(self, problem: str) -> InputError:
        return InputError(f"{self.path}: {problem}", hint=_HINT)


def read_auth_file(path: Path) -> AuthFile:
    """Read a file; one that is not there is empty. Raises InputError for what is no JSON object."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX + 1)
    except FileNotFoundError:
        return AuthFile(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    try:
        data = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        data = None  # the parser's message would quote what is in the file
    if len(text) > _MAX or not isinstance(data, dict):
        raise InputError(f"{path} is not a JSON object of credentials", hint=_HINT)
    return AuthFile(path, data)


def _place(key: str) -> str:
    """Return ``host`` or ``host/path`` for a key, in whatever way it was written."""
    scheme, separator, rest = key.partition("://")
    if separator:  # a URL's path is that of an old protocol
        rest = rest.partition("/")[0]
    else:
        rest = re.sub(r"\A([^/]+)/v[12]\Z", r"\1", scheme.rstrip("/"))
    host, slash, path = rest.partition("/")
    return f"{DEFAULT_HOST if host in _HUB else host}{slash}{path}"


def _prefixes(host: str, repository: str) -> Iterator[str]:
    parts = repository.split("/") if repository else []
    for count in range(len(parts), -1, -1):
        yield "/".join((host, *parts[:count]))
