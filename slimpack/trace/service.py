"""Requests to a service while it is traced: what they are, waiting for it, asking it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from slimpack.errors import InputError, VerifyError

_METHOD = re.compile(r"[A-Z]{3,10}")
_MAX_ANSWER = 256 << 20  # bytes that are read of an answer
_PIECE = 64 << 10
_PAUSE = 0.2  # seconds between two tries
_LONGEST = 60.0  # seconds for one answer


@dataclass(frozen=True)
class Request:
    """One HTTP request. body: sent as it is, as JSON by its content type; "" for none."""

    url: str
    method: str = "GET"
    body: str = ""

    @classmethod
    def parse(cls, text: str) -> Request:
        """Parse ``URL`` or ``METHOD URL [BODY]``; InputError for anything else."""
        method, _, rest = text.strip().partition(" ")
        if not _METHOD.fullmatch(method):
            method, rest = "GET", text.strip()
        url, _, body = rest.strip().partition(" ")
        if not url.startswith(("http://", "https://")) or (method == "GET" and body):
            raise InputError(
                f"not a request: {text[:200]!r}",
                hint="give URL, or METHOD URL BODY, such as "
                """'POST http://localhost:8000/predict {"x": 1}'""",
            )
        return cls(url, method, body.strip())

    def send(self, timeout: float) -> int:
        """Send it, and return the status of the answer; OSError when there is none."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy would not find the service
            with session.request(
                self.method,
                self.url,
                data=self.body.encode() or None,
                headers={"Content-Type": "application/json"} if self.body else None,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                left = _MAX_ANSWER
                for piece in answer.iter_content(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        break
                return answer.status_code


def wait_until_ready(request: Request, *, seconds: float, alive: Callable[[], bool]) -> bool:
    """Send `request` until it is answered with a status below 500; False when nobody will."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            if request.send(min(_LONGEST, seconds)) < 500:
                return True
        except OSError:  # requests' own errors are some
            pass
        time.sleep(_PAUSE)
    return False


def ask(request: Request) -> None:
    """Send `request`; VerifyError when it is not answered with a status below 400."""
    try:
        status = request.send(_LONGEST)
    except OSError as error:
        raise VerifyError(
            f"{request.method} {request.url}: no answer from the traced service: {error}"
        ) from error
    if status >= 400:
        raise VerifyError(
            f"{request.method} {request.url}: the traced service answered {status}",
            hint="a trace of what fails would keep too little; correct the request",
        )
