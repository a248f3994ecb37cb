"""Requests and answers, as data."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import urllib3
from urllib3 import HTTPHeaderDict
from urllib3.response import BaseHTTPResponse

from slimpack.network import reason
from slimpack.oci.digest import ByteStream, chunks
from slimpack.registry.failures import PassingError
from slimpack.registry.retry import Retry
from slimpack.registry.tokens import Access

MAX_ANSWER = 4 << 20
"""Bytes of an answer that is held in memory, unless said otherwise."""

BROKEN = (urllib3.exceptions.HTTPError, OSError)
"""What a connection that fails raises."""

_MAX_DRAINED = 64 << 10


@dataclass(frozen=True)
class Body:
    """What a request carries: `size` bytes, opened anew for each try."""

    open: Callable[[], ByteStream]
    size: int
    media_type: str = "application/octet-stream"

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Body:
        """Return a body of bytes in memory."""
        return cls(lambda: io.BytesIO(data), len(data), media_type)


@dataclass(frozen=True)
class Call:
    """One request. what: for messages, as in "pushing layer sha256:... to host/app".

    url: absolute, or a path on the registry. ok: statuses that are an answer.
    stays: it carries a secret, and is never sent on to another origin.
    """

    what: str
    method: str
    url: str
    access: Access = field(default_factory=Access)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    ok: Collection[int] = (200,)
    stays: bool = False


@dataclass(frozen=True)
class Answer:
    """A response whose body was read. url: where it came from, redirects followed."""

    status: int
    headers: HTTPHeaderDict
    data: bytes
    url: str


class BodyStream:
    """The body of a response, from the byte `start` of the whole on.

    A connection that breaks is a PassingError. Whoever closes it early closes the
    connection too.
    """

    def __init__(self, response: BaseHTTPResponse, start: int, what: str, retry: Retry) -> None:
        self.start = start
        self._response = response
        self._what = what
        self._retry = retry

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, as many as have come; b"" at the end."""
        if size < 0:
            return b"".join(chunks(self))
        self._retry.check()
        try:
            # What came before a break is not lost, as it would be with `read`.
            return self._response.read1(size)
        except BROKEN as error:
            raise PassingError(
                f"{self._what}: {reason(error)}", hint="check the network"
            ) from error

    def close(self) -> None:
        """Give the connection back."""
        release(self._response)


def release(response: BaseHTTPResponse) -> None:
    """Give the connection back, for another request if little is left to read."""
    left = getattr(response, "length_remaining", None)
    if left is None or left > _MAX_DRAINED:
        response.close()
    else:
        response.drain_conn()
    response.release_conn()
