"""Dataclasses from what `dataclasses.asdict` and JSON made of them."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def restored(kind: type[T], value: Any) -> T:
    """Return the dataclass that `value` was; TypeError, KeyError or ValueError for others.

    Fields are other dataclasses, tuples of one kind or of fixed length, text, numbers,
    booleans and None.
    """
    found: T = _restored(kind, value)
    return found


def _restored(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints, names = get_type_hints(kind), [one.name for one in fields(kind)]
        return kind(**{name: _restored(hints[name], value[name]) for name in names})
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_restored(inner[0], item) for item in value)
        return tuple(_restored(one, item) for one, item in zip(inner, value, strict=True))
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (some,) = (one for one in inner if one is not type(None))
        return _restored(some, value)
    return value
