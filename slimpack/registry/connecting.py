"""Finding a registry: with or without TLS, and how it wants to know who we are.

Plain HTTP is for this machine alone, unless the user says otherwise. Then, too, TLS is
tried first, and certificates are not looked at (as Docker's ``insecure-registries``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from slimpack.closing import Closing
from slimpack.oci.names import DEFAULT_HOST
from slimpack.registry.calls import Body, Call
from slimpack.registry.client import Registry
from slimpack.registry.connections import Connections, is_loopback
from slimpack.registry.credentials import FileKeychain, Keychain
from slimpack.registry.failures import PassingError, RefusalError, Secrets
from slimpack.registry.retry import Retry
from slimpack.registry.session import Anonymous, Session, origin_of
from slimpack.registry.tokens import AskToken, Authenticator, TokenRequest

_HUB = "registry-1.docker.io"
_FORM = "application/x-www-form-urlencoded"
_FIRST_TRIES = 3  # a name with a typing error should not cost a quarter of a minute


class Registries(Closing):
    """Sessions with any number of registries; a context that closes them all.

    keychain: where credentials are looked up; the user's files if None.
    insecure: plain HTTP and certificates that nobody vouches for are accepted.
    """

    def __init__(
        self,
        *,
        keychain: Keychain | None = None,
        insecure: bool = False,
        retry: Retry | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.retry = retry or Retry()
        self._keychain = keychain or FileKeychain(environ)
        self._insecure = insecure
        self._environ = environ
        self._secrets = Secrets()
        self._known: dict[str, _Connector] = {}

    def of(self, host: str) -> Registry:
        """Return the registry of a host; nothing is sent yet."""
        if host not in self._known:
            self._known[host] = _Connector(
                host,
                self._keychain,
                self._insecure,
                self.retry,
                self._secrets,
                Connections(frozenset({host} if self._insecure else ()), self._environ),
            )
        return Registry(host, self._known[host].session)

    def stop(self) -> None:
        """Make all requests under way, in whatever thread, end soon with StoppedError."""
        self.retry.stopped.set()

    def close(self) -> None:
        """Close every connection."""
        for connector in self._known.values():
            connector.connections.close()


@dataclass
class _Connector:
    host: str
    keychain: Keychain
    insecure: bool
    retry: Retry
    secrets: Secrets
    connections: Connections
    _session: Session | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def session(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._connect()
            return self._session

    def _connect(self) -> Session:
        name = _HUB if self.host == DEFAULT_HOST else self.host
        origin, challenges = self._reach(name)
        auth = Authenticator(
            self.host,
            lambda repository: self.keychain.find(self.host, repository),
            _token_asker(self.connections, self.retry, self.secrets, self.host),
            self.secrets,
            plain=self.insecure,
        )
        auth.learn(challenges)
        return Session(
            origin, self.connections, self.retry, self.secrets, auth, plain=self.insecure
        )

    def _reach(self, name: str) -> tuple[str, list[str]]:
        """Return the origin that answers, and what it asks for."""
        *others, last = self._origins(name)
        for origin in others:
            try:
                return origin, self._ping(origin, tries=1)
            except (PassingError, RefusalError):
                continue
        return last, self._ping(last, tries=_FIRST_TRIES)

    def _origins(self, name: str) -> Iterable[str]:
        # A server with TLS answers plain HTTP at once; one without may wait for the
        # rest of what it takes for a request. Nothing secret is in the first request.
        if is_loopback(name):
            return f"http://{name}", f"https://{name}"
        return (f"https://{name}", *((f"http://{name}",) if self.insecure else ()))

    def _ping(self, origin: str, tries: int) -> list[str]:
        retry = replace(self.retry, tries=tries)
        session = Session(origin, self.connections, retry, self.secrets, Anonymous(), plain=True)
        call = Call(f"connecting to {self.host}", "GET", "/v2/", ok=(200, 401, 403, 404))
        answer = session.ask(call)
        return answer.headers.getlist("WWW-Authenticate") if answer.status == 401 else []


def _token_asker(connections: Connections, retry: Retry, secrets: Secrets, host: str) -> AskToken:
    """Return what sends requests to token servers for a registry."""

    def ask(request: TokenRequest) -> bytes:
        origin = origin_of(request.url)
        session = Session(origin, connections, retry, secrets, Anonymous(), plain=True)
        form = request.form
        call = Call(
            what=f"asking {urlsplit(request.url).netloc[:200]} for a token for {host}",
            method="GET" if form is None else "POST",
            url=request.url,
            headers=request.headers,
            body=None if form is None else Body.of(form, _FORM),
            stays=True,
        )
        return session.ask(call, limit=1 << 20).data

    return ask
