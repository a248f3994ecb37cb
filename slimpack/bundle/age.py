"""Whether a bundle is as new as it has to be.

An old bundle, sent again, would bring back old faults under a good signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from slimpack.bundle.model import Statement, moment
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.volumes import SUFFIX
from slimpack.errors import BundleError, InputError, SlimpackError
from slimpack.oci import jsontext
from slimpack.oci.config import rfc3339

_MAX_JSON = 64 << 20  # an inventory is of the size of a statement
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?")
_EPOCH = re.compile(r"@\d{1,11}")
_FORMS = (
    "give a date (2025-07-31, 2025-07-31T12:00:00Z, @1753963200), or a bundle or an inventory "
    "that says its own"
)


@dataclass(frozen=True)
class AgeLimit:
    """A bundle has to be of this moment (seconds since the epoch) or later. what: who says so."""

    created: int
    what: str


def age_limit(text: str) -> AgeLimit:
    """Read a date, or that of a bundle or an inventory. Raises InputError for anything else.

    text: an ISO 8601 date (midnight in UTC), a date with time (UTC unless it says its zone),
    seconds since the epoch behind an ``@``, or a file.
    """
    if _EPOCH.fullmatch(text):
        return AgeLimit(int(text[1:]), text)
    if _DATE.fullmatch(text):
        try:
            date = datetime.fromisoformat(text.removesuffix("Z"))
            date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
            return AgeLimit(int(date.timestamp()), text)
        except (ValueError, OverflowError) as error:
            raise InputError(f"there is no date {text}", hint=_FORMS) from error
    created = _date_of(Path(text))
    if created is None:
        raise InputError(f"{text} does not say when it was made", hint=_FORMS)
    return AgeLimit(created, f"{rfc3339(created)}, the date of {text}")


def check_age(statement: Statement, limit: AgeLimit) -> None:
    """Raise BundleError for a bundle that is older than `limit`, or does not say its date."""
    if statement.created is None:
        raise BundleError(
            "the bundle does not say when it was made, so it may be an old one",
            hint="its sender gives it a date with `slimpack bundle create --created`, or with "
            "SOURCE_DATE_EPOCH",
        )
    if statement.created < limit.created:
        raise BundleError(
            f"the bundle is of {rfc3339(statement.created)}, older than {limit.what}",
            hint="an old bundle may have been sent again; ask its sender for the latest one",
        )


def _date_of(path: Path) -> int | None:
    try:
        if path.name.endswith(SUFFIX) or not path.is_file() or not _is_json(path):
            return open_bundle(path).statement.created
        with path.open("rb") as stream:
            data = stream.read(_MAX_JSON + 1)
        if len(data) > _MAX_JSON:
            raise InputError(f"{path} is too large for an inventory", hint=_FORMS)
        value = jsontext.parse_object(data, str(path))
        return moment(value, str(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", hint=_FORMS) from error
    except SlimpackError as error:
        raise InputError(error.message, hint=_FORMS) from error


def _is_json(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(64).lstrip().startswith(b"{")
