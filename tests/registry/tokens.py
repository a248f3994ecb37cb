"""Logins for the registry in this process: Basic, and tokens of a server of their own."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.registry.fake import Fake, Handler


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True)
class BasicGuard:
    """Lets one user pass."""

    user: str
    password: str

    def __call__(self, handler: Handler) -> bool:
        if handler.headers.get("Authorization") == basic(self.user, self.password):
            return True
        handler.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="test"')
        return False


@dataclass
class TokenServer:
    """Gives tokens, and lets those pass that cover what is done.

    identity: refresh token that it takes. users: user -> password. asked: the scopes of
    each request, `authorized` their Authorization headers. expires_in: seconds.
    """

    users: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    anonymous: bool = False
    expires_in: int = 300
    realm: str = ""
    asked: list[tuple[str, ...]] = field(default_factory=list)
    authorized: list[str] = field(default_factory=list)
    granted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refuse_next: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, handler: Handler) -> bool:
        """Guard a registry."""
        needed = _needed(handler)
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            scopes = self.granted.get(token)
            refused = self.refuse_next > 0 and scopes is not None
            self.refuse_next -= refused
        if scopes is not None and not refused and _covers(scopes, needed):
            return True
        scope = f',scope="{" ".join(needed)}"' if needed else ""
        handler.error(
            401,
            "UNAUTHORIZED",
            WWW_Authenticate=f'Bearer realm="{self.realm}",service="test"{scope}',
        )
        return False

    def give(self, scopes: tuple[str, ...]) -> str:
        with self.lock:
            token = f"token-{len(self.granted)}-secret"
            self.granted[token] = scopes
            self.asked.append(scopes)
        return token


def _needed(handler: Handler) -> list[str]:
    parts = urlsplit(handler.path)
    match = re.match(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/", parts.path)
    if match is None:
        return []
    writes = handler.command not in ("GET", "HEAD")
    needed = [f"repository:{match[1]}:{'pull,push' if writes else 'pull'}"]
    query = parse_qs(parts.query)
    return needed + [f"repository:{source}:pull" for source in query.get("from", [])]


def _covers(scopes: tuple[str, ...], needed: list[str]) -> bool:
    def parsed(scope: str) -> tuple[str, set[str]]:
        name, _, actions = scope.rpartition(":")
        return name, set(actions.split(","))

    given = dict(map(parsed, scopes))
    return all(actions <= given.get(name, set()) for name, actions in map(parsed, needed))


@contextmanager
def tokens_for(fake: Fake, server: TokenServer) -> Iterator[TokenServer]:
    """Run the token server beside a registry, and make the registry ask for its tokens."""

    class Answering(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            authorization = self.headers.get("Authorization", "")
            server.authorized.append(authorization)
            known = [basic(*user) for user in server.users.items()]
            if authorization in known or (server.anonymous and not authorization):
                self.give("token", tuple(query.get("scope", [])))
            else:
                self.send(401, {"errors": [{"code": "DENIED", "message": f"no: {authorization}"}]})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if form.get("refresh_token") == [server.identity] and server.identity:
                self.give("access_token", tuple(form["scope"][0].split()))
            else:
                self.send(401, {"error": "invalid_grant"})

        def give(self, key: str, scopes: tuple[str, ...]) -> None:
            self.send(200, {key: server.give(scopes), "expires_in": server.expires_in})

        def send(self, status: int, data: object) -> None:
            text = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.realm = f"http://127.0.0.1:{http.server_address[1]}/token"
    fake.guard = server
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
