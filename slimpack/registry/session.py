"""HTTP towards one registry: login, redirects, retries, bounded answers.

An Authorization header is sent to the registry's own origin (scheme, host and port) and
to no other: redirects of blobs lead to storage hosts, whose addresses carry their own
permission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.response import BaseHTTPResponse

from slimpack import __version__
from slimpack.errors import RegistryError
from slimpack.network import NO_TLS, reason
from slimpack.oci.digest import ByteStream
from slimpack.registry.calls import BROKEN, MAX_ANSWER, Answer, BodyStream, Call, release
from slimpack.registry.connections import Connections, is_loopback
from slimpack.registry.failures import PassingError, Secrets, failure
from slimpack.registry.retry import Retry
from slimpack.registry.tokens import Access

_MAX_ERROR = 64 << 10
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
# Seconds to connect, and between two reads. A registry that has got a large blob
# may move it to its storage before it answers.
_CONNECT, _READ, _COMMIT = 10, 60, 600

AGENT = f"slimpack/{__version__}"


class Authorizes(Protocol):
    """Who makes Authorization headers. host: of the registry, as users call it."""

    host: str

    def header(self, access: Access) -> str:
        """Return the header for a request, "" for none."""

    def challenged(self, headers: Sequence[str], access: Access, used: str) -> None:
        """Take note of a 401, and of its ``WWW-Authenticate`` headers."""

    def who(self, access: Access) -> str:
        """Say as whom we come, for messages."""


class Anonymous:
    """Makes no Authorization header."""

    host = "HOST"

    def header(self, access: Access) -> str:
        """Return that there is none."""
        return ""

    def challenged(self, headers: Sequence[str], access: Access, used: str) -> None:
        """Do nothing."""

    def who(self, access: Access) -> str:
        """Say nothing."""
        return ""


class Session:
    """Requests to the registry at `origin` (``https://host:port``).

    Every method raises RegistryError (NotThereError, DeniedError, PassingError), and
    StoppedError after `retry.stopped` was set.
    """

    def __init__(
        self,
        origin: str,
        connections: Connections,
        retry: Retry,
        secrets: Secrets,
        auth: Authorizes,
        *,
        plain: bool = False,
    ) -> None:
        self.origin = origin
        self.retry = retry
        self._connections = connections
        self._secrets = secrets
        self._auth = auth
        self._plain = plain

    def ask(self, call: Call, *, limit: int = MAX_ANSWER) -> Answer:
        """Send a request and read its answer, with retries."""
        return self.retry.run(lambda: self.ask_once(call, limit=limit))

    def ask_once(self, call: Call, *, limit: int = MAX_ANSWER) -> Answer:
        """Send a request once and read its answer of at most `limit` bytes."""
        response, url = self.open_once(call)
        try:
            data = b"" if call.method == "HEAD" else self._read(response, limit, call.what)
            return Answer(response.status, response.headers, data, url)
        finally:
            release(response)

    def _read(self, response: BaseHTTPResponse, limit: int, what: str) -> bytes:
        stream = BodyStream(response, 0, what, self.retry)
        found = bytearray()
        while data := stream.read(limit + 1 - len(found)):
            found += data
            if len(found) > limit:
                raise RegistryError(f"{what}: the answer is larger than {limit} bytes")
        return bytes(found)

    def open_once(self, call: Call) -> tuple[BaseHTTPResponse, str]:
        """Send a request once; return the response, unread, and where it came from."""
        url = urljoin(self.origin, call.url)
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_url(url, call.what)
            response = self._authorized(call, url)
            if response.status in call.ok:
                return response, url
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not location or _changes(call, response):
                raise self._failure(call, response)
            release(response)
            url = joined(url, location)
            if call.stays and not self.is_own(url):
                raise RegistryError(f"{call.what}: it sends us to another host, which is refused")
        raise RegistryError(f"{call.what}: redirected more than {_MAX_REDIRECTS} times")

    def stream_once(self, call: Call, offset: int) -> BodyStream:
        """Send a GET once, for what lies behind `offset`; its body is read by the caller."""
        response, _ = self.open_once(call)
        start = 0
        if response.status == 206:
            found = response.headers.get("Content-Range", "")
            if not found.startswith(f"bytes {offset}-"):
                release(response)
                raise RegistryError(f"{call.what}: not the range that was asked for")
            start = offset
        return BodyStream(response, start, call.what, self.retry)

    def is_own(self, url: str) -> bool:
        """Tell whether a URL is on the registry itself."""
        return origin_of(url) == origin_of(self.origin)

    def _authorized(self, call: Call, url: str) -> BaseHTTPResponse:
        if not self.is_own(url):
            return self._send(call, url, "")
        header = self._auth.header(call.access)
        response = self._send(call, url, header)
        if response.status != 401:
            return response
        self._auth.challenged(response.headers.getlist("WWW-Authenticate"), call.access, header)
        again = self._auth.header(call.access)
        if again == header:
            return response
        release(response)
        return self._send(call, url, again)

    def _send(self, call: Call, url: str, authorization: str) -> BaseHTTPResponse:
        self.retry.check()
        headers = {
            "User-Agent": AGENT,
            "Accept-Encoding": "identity",
            **call.headers,
            **({"Authorization": authorization} if authorization else {}),
        }
        stream: ByteStream | None = None
        if call.body is not None:
            headers["Content-Length"] = str(call.body.size)
            headers["Content-Type"] = call.body.media_type
            stream = call.body.open()
        elif call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        large = call.body is not None and call.body.size > MAX_ANSWER
        try:
            return self._connections.pool(url).request(
                call.method,
                url,
                headers=headers,
                body=stream,  # type: ignore[arg-type]
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT, read=_COMMIT if large else _READ),
            )
        except BROKEN as error:
            raise self._broken(call.what, url, error) from error
        finally:
            if stream is not None:
                stream.close()

    def _broken(self, what: str, url: str, error: Exception) -> RegistryError:
        host = urlsplit(url).netloc
        told = reason(error)
        if "certificate is not trusted" in told:
            return RegistryError(
                f"{what}: {host}: {told}",
                hint="name the CA's file in SSL_CERT_FILE, or put it into "
                f"/etc/docker/certs.d/{host}/ca.crt; docs/registries.md",
            )
        hint = "check the network and the name"
        if told == NO_TLS:
            hint = "if it speaks plain HTTP only, accept that with --insecure"
        where = "" if what.endswith(f" {host}") else f"{host}: "
        return PassingError(f"{what}: {where}{told}", hint=hint)

    def _failure(self, call: Call, response: BaseHTTPResponse) -> RegistryError:
        try:
            data = response.read(_MAX_ERROR)
        except BROKEN:
            data = b""
        finally:
            release(response)
        error = failure(call.what, response.status, response.headers, data, self._secrets)
        if response.status in (401, 403) and (who := self._auth.who(call.access)):
            error.message += f", asked {who}"
            error.hint = error.hint.replace("HOST", self._auth.host)
        return error

    def _check_url(self, url: str, what: str) -> None:
        """Refuse addresses that a registry must not lead to."""
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or parts.username is not None:
            raise RegistryError(f"{what}: the registry leads to an address that is none")
        if parts.scheme == "https" or self._plain or is_loopback(parts.netloc):
            return
        raise RegistryError(
            f"{what}: the registry leads to http://{parts.netloc[:200]}, without TLS",
            hint="a proxy before the registry has to pass on X-Forwarded-Proto; "
            "or accept it with --insecure",
        )


def _changes(call: Call, response: BaseHTTPResponse) -> bool:
    """Tell whether following a redirect would turn the request into another one."""
    return call.method not in ("GET", "HEAD") and response.status not in (307, 308)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, in one form: ``https://host``."""
    parts = urlsplit(url)
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(default).lower()}"


def joined(url: str, location: str) -> str:
    """Return where a Location header leads; what is no address is refused by whoever asks it."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""
