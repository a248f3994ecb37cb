"""JSON in two directions: canonical bytes out, checked values in.

Digests are taken of JSON text, so ours has one form: sorted keys, no white
space, ASCII. What others wrote is read with a size limit, without duplicate
keys, and through getters that name the place of a wrong type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from slimpack.errors import ImageError

Object = dict[str, Any]


def canonical(value: object) -> bytes:
    """Return the one JSON text of `value`; raise ImageError for an infinite number in it."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise ImageError(f"JSON cannot express a value of the image: {error}") from error
    return text.encode("ascii")


def parse_object(data: bytes, what: str) -> Object:
    """Return the JSON object in `data`; raise ImageError, naming `what`, for anything else."""
    value = _parse(data, what)
    if not isinstance(value, dict):
        raise ImageError(f"{what} is not a JSON object")
    return value


def parse_list(data: bytes, what: str) -> list[Any]:
    """Return the JSON list in `data`; raise ImageError, naming `what`, for anything else."""
    value = _parse(data, what)
    if not isinstance(value, list):
        raise ImageError(f"{what} is not a JSON list")
    return value


def _parse(data: bytes, what: str) -> object:
    def unique(pairs: Iterable[tuple[str, Any]]) -> Object:
        result: Object = {}
        for key, value in pairs:
            if key in result:
                raise ImageError(f"{what} has the key {key[:100]!r} twice")
            result[key] = value
        return result

    try:
        return json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not valid JSON: {error}") from error


def text(value: Mapping[str, Any], key: str, what: str) -> str:
    """Return the string at `key`, "" when there is none."""
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise ImageError(f"{what}: {key} is not a string")
    return found


def number(value: Mapping[str, Any], key: str, what: str) -> int:
    """Return the non-negative integer at `key`."""
    found = value.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ImageError(f"{what}: {key} is not a non-negative integer")
    return found


def mapping(value: Mapping[str, Any], key: str, what: str) -> Object:
    """Return the object at `key`, {} when there is none."""
    found = value.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ImageError(f"{what}: {key} is not an object")
    return found


def texts(value: Mapping[str, Any], key: str, what: str) -> list[str]:
    """Return the list of strings at `key`, [] when there is none."""
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ImageError(f"{what}: {key} is not a list of strings")
    return found


def text_mapping(value: Mapping[str, Any], key: str, what: str) -> dict[str, str]:
    """Return the object of strings at `key`, {} when there is none."""
    found = mapping(value, key, what)
    if not all(isinstance(item, str) for item in found.values()):
        raise ImageError(f"{what}: {key} has a value that is not a string")
    return found


def objects(value: Mapping[str, Any], key: str, what: str) -> list[Object]:
    """Return the list of objects at `key`, [] when there is none."""
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ImageError(f"{what}: {key} is not a list of objects")
    return found
