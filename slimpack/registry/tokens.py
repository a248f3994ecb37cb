"""Saying who we are, the way a registry asks for it.

Protocol: CNCF distribution, docs/spec/auth/token.md, scope.md and oauth.md; HTTP Basic
(RFC 7617).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from slimpack.errors import RegistryError
from slimpack.registry.challenge import Challenge, parse_challenges
from slimpack.registry.connections import is_loopback
from slimpack.registry.credentials import Credentials
from slimpack.registry.failures import Secrets

_CLIENT = "slimpack"
_DEFAULT_SECONDS = 60  # token.md: "if omitted, this defaults to 60 seconds"
_EARLY = 10  # seconds before its end from which on a token is not used
_SCHEMES = ("bearer", "basic")


@dataclass(frozen=True)
class Access:
    """What is going to be done.

    repository: "" for nothing in particular. actions: ``pull`` or ``pull,push``.
    source: a repository to mount blobs from.
    """

    repository: str = ""
    actions: str = ""
    source: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of a token for it."""
        wanted = [f"repository:{self.repository}:{self.actions}"] if self.repository else []
        if self.source:
            wanted.append(f"repository:{self.source}:pull")
        return tuple(wanted)


@dataclass(frozen=True)
class TokenRequest:
    """A request to a token server. form: of a POST, None for a GET."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    form: bytes | None = field(default=None, repr=False)


AskToken = Callable[[TokenRequest], bytes]
"""Sends a request and returns the JSON that comes back. Raises RegistryError."""


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    until: float


class Authenticator:
    """Makes the Authorization headers for one registry; safe for any number of threads.

    find: returns the credentials for a repository. ask: reaches token servers.
    plain: whether the user accepted connections without TLS to this registry.
    """

    def __init__(
        self,
        host: str,
        find: Callable[[str], Credentials | None],
        ask: AskToken,
        secrets: Secrets,
        *,
        plain: bool,
    ) -> None:
        self.host = host
        self._find = find
        self._ask = ask
        self._secrets = secrets
        self._plain = plain
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = threading.Lock()

    def learn(self, headers: Sequence[str]) -> None:
        """Remember what the registry asks for; of several ways the better one.

        headers: values of ``WWW-Authenticate``. Raises RegistryError for ways that
        nobody here knows.
        """
        challenges = parse_challenges(headers)
        known = [c for scheme in _SCHEMES for c in challenges if c.scheme == scheme]
        if known:
            self._challenge = known[0]
        elif challenges:
            names = ", ".join(sorted({challenge.scheme for challenge in challenges}))
            raise RegistryError(
                f"{self.host} asks for a login of the kind {names[:100]!r}",
                hint="slimpack knows Basic and Bearer",
            )

    def header(self, access: Access) -> str:
        """Return the header for a request, "" for none. Raises RegistryError."""
        challenge = self._challenge
        credentials = self._credentials(access.repository)
        if credentials is not None and credentials.bearer:
            return f"Bearer {credentials.bearer}"
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            return self._basic(credentials) if credentials else ""
        with self._lock:
            return f"Bearer {self._token(challenge, access, credentials)}"

    def challenged(self, headers: Sequence[str], access: Access, used: str) -> None:
        """Take note of a 401: what the registry asks for, and that it did not take `used`."""
        self.learn(headers)
        with self._lock:
            for scopes, token in list(self._tokens.items()):
                if used == f"Bearer {token.value}":
                    del self._tokens[scopes]

    def who(self, access: Access) -> str:
        """Say as whom we come, for messages."""
        found = self._credentials(access.repository)
        if found is None:
            return "without credentials"
        return f"with credentials from {found.source}" if found.source else "with these credentials"

    def _credentials(self, repository: str) -> Credentials | None:
        found = self._find(repository)
        if found is not None:
            self._secrets.add(*found.secrets, self._basic(found).partition(" ")[2])
        return found

    def _basic(self, credentials: Credentials) -> str:
        user = f"{credentials.username}:{credentials.password}".encode()
        return f"Basic {base64.b64encode(user).decode()}" if credentials.password else ""

    def _token(self, challenge: Challenge, access: Access, credentials: Credentials | None) -> str:
        asked = challenge.parameters.get("scope", "").split()
        scopes = tuple(dict.fromkeys((*access.scopes, *(asked if not access.scopes else ()))))
        token = self._tokens.get(scopes)
        if token is None or token.until < time.monotonic():
            token = self._fetch(challenge, scopes, credentials)
            self._secrets.add(token.value)
            self._tokens[scopes] = token
        return token.value

    def _fetch(
        self, challenge: Challenge, scopes: tuple[str, ...], credentials: Credentials | None
    ) -> _Token:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        service = challenge.parameters.get("service", "")
        if credentials is not None and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": _CLIENT,
                "scope": " ".join(scopes),
                "refresh_token": credentials.identity_token,
            }
            request = TokenRequest(realm, form=urlencode(form).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            headers = {}
            if credentials is not None and (basic := self._basic(credentials)):
                query.append(("account", credentials.username))
                headers["Authorization"] = basic
            joint = "&" if urlsplit(realm).query else "?"
            request = TokenRequest(f"{realm}{joint}{urlencode(query)}", headers)
        return self._parsed(self._ask(request), realm)

    def _check_realm(self, realm: str) -> None:
        """Refuse an address to which no credentials may go."""
        try:
            parts = urlsplit(realm)
            host = parts.hostname
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
            raise RegistryError(f"{self.host} names a token server without a proper address")
        own = self._plain and parts.netloc == self.host
        if parts.scheme == "http" and not own and not is_loopback(parts.netloc):
            raise RegistryError(
                f"{self.host} names the token server http://{parts.netloc[:200]}, without TLS",
                hint="credentials go over TLS alone; the registry has to name an https:// address",
            )

    def _parsed(self, answer: bytes, realm: str) -> _Token:
        where = f"the token server {urlsplit(realm).netloc[:200]}"
        try:
            data = json.loads(answer)
        except (ValueError, RecursionError):
            data = None
        value = isinstance(data, dict) and (data.get("token") or data.get("access_token"))
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise RegistryError(f"{where} gave no token")
        seconds = data.get("expires_in", 0)
        if not isinstance(seconds, (int, float)) or not 0 < seconds < 10**7:
            seconds = _DEFAULT_SECONDS
        return _Token(value, time.monotonic() + max(1, seconds - _EARLY))
