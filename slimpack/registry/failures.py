"""What a registry's refusals are called, and which of them may pass.

Codes: OCI distribution-spec v1.1, 'Error Codes'.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from slimpack.errors import RegistryError

_SHOWN = 300
_BUSY = (408, 425, 429)
_NEVER = (501, 505)
_HINTS = {
    401: "log in with: slimpack login HOST",
    403: "log in as somebody who may do this, with: slimpack login HOST",
    404: "check the name; a private repository may look like this to others",
    405: "the registry is read-only, or does not allow this",
    413: "the registry, or a proxy before it, does not take parts of this size",
}


class RefusalError(RegistryError):
    """The registry answered, and not with what was asked for.

    status: of HTTP. codes: the registry's own, () if it gave none.
    """

    def __init__(
        self, message: str, *, hint: str = "", status: int, codes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.codes = codes


class NotThereError(RefusalError):
    """The registry has no such repository, manifest or blob."""


class DeniedError(RefusalError):
    """The registry does not let us do this: 401 or 403."""


class PassingError(RegistryError):
    """What may go well the next time: a broken connection, a busy or failing server.

    wait: seconds that the server asked for, None if it did not say.
    """

    def __init__(self, message: str, *, hint: str = "", wait: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


class Secrets:
    """What must not be told, taken out of texts that come from elsewhere."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, *secrets: str) -> None:
        """Remember secrets; what is shorter than four characters would be found everywhere."""
        self._known.update(secret for secret in secrets if len(secret) >= 4)

    def without(self, text: str) -> str:
        """Return `text` without them."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def failure(
    what: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Secrets
) -> RegistryError:
    """Return the error for a response that nobody wanted.

    what: was asked for, as in "pushing layer sha256:... to host/app".
    """
    told = secrets.without(_told(body))
    message = f"{what}: the registry answered {status}{f' ({told})' if told else ''}"
    if status == 429 or (status in _BUSY or (status >= 500 and status not in _NEVER)):
        return PassingError(
            message,
            hint="the registry is busy or fails; try again later",
            wait=wait_of(headers.get("Retry-After", "")),
        )
    kinds = {401: DeniedError, 403: DeniedError, 404: NotThereError}
    hint = _HINTS.get(status, "")
    return kinds.get(status, RefusalError)(message, hint=hint, status=status, codes=_codes(body))


def _codes(body: bytes) -> tuple[str, ...]:
    return tuple(str(item.get("code", "")) for item in _errors(body))


def wait_of(header: str) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3)."""
    header = header.strip()
    if header.isascii() and header.isdecimal():
        return float(header[:9])
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _told(body: bytes) -> str:
    parts: Iterable[str] = (
        ": ".join(str(item[key]) for key in ("code", "message") if item.get(key))
        for item in _errors(body)[:3]
    )
    text = "; ".join(filter(None, parts))
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN])


def _errors(body: bytes) -> list[dict[str, object]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = found.get("errors") if isinstance(found, dict) else None
    return [item for item in errors if isinstance(item, dict)] if isinstance(errors, list) else []
