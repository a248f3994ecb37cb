"""``NVIDIA_REQUIRE_CUDA``: which drivers an image may be started with.

The container toolkit refuses to start an image whose requirement the host does not
meet. The format is libnvidia-container's (cli/dsl.c) and the toolkit's
(internal/requirements): alternatives between blanks, each of conditions between commas,
each a property, an operator and a value: ``cuda>=12.0 brand=tesla,driver>=535,driver<536``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slimpack.cuda.driver import FLOORS, Version, newest_of, numbers

NAME = "NVIDIA_REQUIRE_CUDA"
# Drivers of the data centre branches on which the compatibility libraries of a CUDA run:
# what nvidia/cuda images of that major version name. Brands are left out, because those
# images list every brand.
_BRANCHES = {13: (535, 550, 570, 575)}
_CONDITION = re.compile(r"(?P<name>[a-z]+)(?P<operator>!=|<=|>=|=|<|>)(?P<value>[^\s=].*)\Z")
_VERSIONED = ("cuda", "driver", "arch")
_PROPERTIES = (*_VERSIONED, "brand")


@dataclass(frozen=True)
class Condition:
    """One condition, such as ``driver>=535``."""

    name: str
    operator: str
    value: str


Alternative = tuple[Condition, ...]


def requirement_for(cuda: str, *, compat: bool = False) -> str:
    """Return what an image with this version of CUDA requires, "" when that is not known.

    Code of any minor version runs on a driver of the same major version or a newer one
    (minor-version compatibility, since CUDA 11), so the major version is required and no
    more. compat: the image has NVIDIA's compatibility libraries, too.
    """
    major = (numbers(cuda) or (0,))[0]
    if major not in FLOORS:
        return f"cuda>={major}.0" if major else ""
    branches = _BRANCHES.get(major, ()) if compat else ()
    return " ".join((f"cuda>={major}.0", *(f"driver>={one},driver<{one + 1}" for one in branches)))


def read_requirement(text: str) -> tuple[Alternative, ...]:
    """Return the alternatives of a requirement; () for an empty one, which all drivers meet.

    Raises ValueError, naming the condition, for what the toolkit would refuse.
    """
    return tuple(
        tuple(_condition(part) for part in alternative.split(",")) for alternative in text.split()
    )


def _condition(text: str) -> Condition:
    match = _CONDITION.match(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is no condition such as cuda>=12.0")
    if match["name"] not in _PROPERTIES:
        raise ValueError(
            f"{text[:100]!r}: nothing is known of {match['name']!r}, only {', '.join(_PROPERTIES)}"
        )
    if match["name"] in _VERSIONED and not re.fullmatch(r"\d+(?:\.\d+)*", match["value"]):
        raise ValueError(f"{text[:100]!r}: {match['value'][:50]!r} is no version")
    return Condition(match["name"], match["operator"], match["value"])


def oldest_cuda(alternative: Alternative) -> Version:
    """Return the lowest version of CUDA that the drivers of an alternative know.

    () when it has no lower bound, or its drivers are of no version that is known.
    """
    found: Version = ()
    for condition in alternative:
        if condition.operator not in (">", ">=", "="):
            continue
        if condition.name == "cuda":
            found = max(found, numbers(condition.value))
        elif condition.name == "driver":
            found = max(found, newest_of(condition.value))
    return found
