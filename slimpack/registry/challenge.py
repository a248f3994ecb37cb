"""What a ``WWW-Authenticate`` header asks for.

Format: RFC 9110, sections 11.2 to 11.6: challenges in a list separated by commas, each a
scheme with parameters that are separated by commas too; values are tokens or quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_MAX = 8192
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (an HTTP token)
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:[ \t]+|(?=,)|\Z)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate. scheme and names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all ``WWW-Authenticate`` headers of a response.

    What cannot be read ends its header; nothing is raised. Of a parameter that is
    given twice the first counts.
    """
    return tuple(challenge for header in headers for challenge in _challenges(header[:_MAX]))


def _challenges(header: str) -> list[Challenge]:
    found = []
    place = 0
    while match := _SCHEME.match(header, place):
        place = match.end()
        if token := _TOKEN68.match(header, place):
            place = token.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, place):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            place = parameter.end()
        found.append(Challenge(match[1].lower(), parameters))
    return found
