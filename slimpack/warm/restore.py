"""Dataclasses from what `dataclasses.asdict` and JSON made of them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def restored(kind: type[T], value: Any) -> T:
    """Return the dataclass that `value` was; TypeError, KeyError or ValueError for others.

    Fields are other dataclasses, tuples of one kind or of fixed length, mappings from text
    to text, text, numbers, booleans and None.
    """
    found: T = _restored(kind, value)
    return found


def restored_fields(kind: type, value: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass but for one, as `restored` does."""
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind) if one.name != without]
    return {name: _restored(hints[name], value[name]) for name in names}


def texts(value: Any) -> dict[str, str]:
    """Return a mapping from text to text; TypeError for anything else."""
    if not isinstance(value, dict) or not set(map(type, value.values())) <= {str}:
        raise TypeError("not a mapping from text to text")
    return value


def strings(value: Any) -> tuple[str, ...]:
    """Return a list of text; TypeError for anything else."""
    found: tuple[str, ...] = _tuple((str, ...), value)
    return found


def rows(value: Any, *kinds: type) -> tuple[tuple[Any, ...], ...]:
    """Return lists with values of these types as tuples; quick for many thousands."""
    found = tuple(map(tuple, value))
    if not {tuple(map(type, row)) for row in found} <= {kinds}:
        raise TypeError(f"rows of another form than {kinds}")
    return found


def _restored(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**restored_fields(kind, value))
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple(inner, value)
    if origin is Mapping:
        return texts(value)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (some,) = (one for one in inner if one is not type(None))
        return _restored(some, value)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"none of {inner}")
        return value
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise TypeError(f"expected {kind}, got {type(value)}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_restored(inner[0], item) for item in value)
    return tuple(_restored(one, item) for one, item in zip(inner, value, strict=True))
