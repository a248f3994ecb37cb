"""Downloads: bounded, retried, and checked while they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from slimpack.debian.mirrors import MAIN_VARIABLE, public_url
from slimpack.debian.store import Store
from slimpack.errors import RuntimeBaseError
from slimpack.network import reason

_CHUNK = 1 << 16
# Seconds to connect and between two reads; a network that swallows packets
# costs three times the first before the cached answer serves.
_TIMEOUT = (5, 30)
_TRIES = 3
_BUSY = (429, 500, 502, 503, 504)
_HINT = f"check the network, or name another Debian mirror in {MAIN_VARIABLE}"

Advance = Callable[[int], object]


class UnreachableError(RuntimeBaseError):
    """The mirror did not answer, or only with failures of its own."""


class BrokenOffError(UnreachableError):
    """The connection was lost in the middle of a file."""


class NotFoundError(RuntimeBaseError):
    """The mirror has no such file."""


class WrongContentError(RuntimeBaseError):
    """What came is not what the signed index promises."""


def new_session(backoff: float = 0.5) -> requests.Session:
    """Return a session that tries again when a server is busy or hangs up."""
    retry = Retry(
        total=_TRIES,
        connect=2,
        backoff_factor=backoff,
        status_forcelist=_BUSY,
        allowed_methods=("GET",),
        # A server may ask for hours; a build does not wait that long.
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    # The archive's files are compressed already; a transfer coding would only
    # make the sizes differ from those that were promised.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "slimpack"})
    return session


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Downloads over one session."""

    session: requests.Session = field(default_factory=new_session)

    def text(self, base: str, path: str, limit: int) -> bytes:
        """Return a small file that carries its own proof (an InRelease)."""
        url = _url(base, path)
        for left in reversed(range(_TRIES)):
            try:
                data = bytearray()
                for chunk in self._chunks(url):
                    data += chunk
                    if len(data) > limit:
                        raise WrongContentError(
                            f"{public_url(url)} is larger than {limit} bytes", hint=_HINT
                        )
                return bytes(data)
            except BrokenOffError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def blob(
        self,
        store: Store,
        base: str,
        path: str,
        *,
        sha256: str,
        size: int,
        advance: Advance = lambda _: None,
    ) -> Path:
        """Return the file of this digest from the store, downloading it if need be.

        A copy that is cut short or wrong is tried again: caches on the way hold
        on to those, and a second request often passes them by.
        """
        found = store.find(sha256, size)
        if found is not None:
            advance(size)
            return found
        target = store.blob(sha256)
        told = 0
        for left in reversed(range(_TRIES)):
            done = 0
            try:
                with store.create(target) as stream:
                    value = hashlib.sha256()
                    for chunk in self._chunks(_url(base, path)):
                        done += len(chunk)
                        if done > size:
                            break
                        value.update(chunk)
                        stream.write(chunk)
                        # A second try is told of only from where the first one ended.
                        advance(max(0, done - told))
                        told = max(told, done)
                    _check(_url(base, path), done, size, value.hexdigest(), sha256)
                return target
            except (BrokenOffError, WrongContentError):
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _chunks(self, url: str) -> Iterator[bytes]:
        shown = public_url(url)
        failure = UnreachableError
        try:
            with self.session.get(url, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code in (404, 410):
                    raise NotFoundError(f"{shown} is not there", hint=_HINT)
                if response.status_code != requests.codes.ok:
                    raise UnreachableError(
                        f"{shown} answered {response.status_code} {response.reason}", hint=_HINT
                    )
                failure = BrokenOffError
                while chunk := response.raw.read(_CHUNK, decode_content=False):
                    yield chunk
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise failure(f"{shown} could not be fetched: {reason(error)}", hint=_HINT) from error


def _check(url: str, done: int, size: int, got: str, sha256: str) -> None:
    if done != size:
        amount = "more" if done > size else f"{done}"
        problem = f"{amount} bytes came, {size} were promised"
    elif got != sha256:
        problem = f"its SHA-256 is {got}, promised was {sha256}"
    else:
        return
    raise WrongContentError(
        f"{public_url(url)} is not what the signed index lists: {problem}", hint=_HINT
    )


def _url(base: str, path: str) -> str:
    return f"{base}/{quote(path, safe='/~+')}"
