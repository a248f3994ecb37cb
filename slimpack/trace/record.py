"""A trace as data, and its file ``trace.json``.

What it says depends on the image and the workload alone: paths that the image does
not have (scratch files, ``/proc``), process numbers and times are left out, so that
the same run gives the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slimpack.errors import InputError
from slimpack.trace.walk import walk
from slimpack.tree import check_path

MAX_TRACE = 256 << 20
"""Bytes of a trace file; a larger one is refused."""

_VERSION = 1
_HINT = "give a file that `slimpack trace -o` wrote"


@dataclass(frozen=True)
class Trace:
    """What a workload touched of an image. Paths as in `slimpack.tree`, sorted, each once.

    image: digest of the manifest of the image that was traced.
    commands: what ran, one for each run.
    opened: files that were opened or executed, with all links on the way to them.
    statted: what was only asked for and is there, with all links on the way; directories.
    listed: directories whose names were read.
    """

    image: str
    commands: tuple[tuple[str, ...], ...]
    opened: tuple[str, ...]
    statted: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return the trace as its file holds it; the same for the same content."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=1).encode() + b"\n"


def make_trace(
    *,
    image: str,
    command: Iterable[str],
    opened: Iterable[str],
    statted: Iterable[str],
    listed: Iterable[str],
    links: Mapping[str, str],
    paths: Iterable[str],
    folders: Iterable[str] = (),
) -> Trace:
    """Make a trace of paths as a workload named them: absolute, links and ``..`` unresolved.

    links, paths, folders: symbolic links of the image with their targets, all that it has,
    and which of that are directories.
    """
    there = frozenset(paths)
    found = _resolved(opened, links, there)
    touched = found - frozenset(folders)
    asked = _resolved(statted, links, there) | found
    return Trace(
        image=image,
        commands=(tuple(command),),
        opened=tuple(sorted(touched)),
        statted=tuple(sorted(asked - touched)),
        listed=tuple(sorted(_resolved(listed, links, there))),
    )


def _resolved(
    names: Iterable[str], links: Mapping[str, str], there: frozenset[str]
) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        passed, end = walk(links, name)
        found.update(passed)
        found.add(end)
    return frozenset(found & there)


def merge(traces: Iterable[Trace]) -> Trace:
    """Return one trace that has what any of several has; InputError without or of many images."""
    given = list(traces)
    images = sorted({trace.image for trace in given})
    if len(images) != 1:
        raise InputError(
            f"traces of {len(images)} images cannot be merged: {', '.join(images)}",
            hint="trace all workloads on one image",
        )
    opened = {path for trace in given for path in trace.opened}
    statted = {path for trace in given for path in trace.statted}
    return Trace(
        image=images[0],
        commands=tuple(sorted({command for trace in given for command in trace.commands})),
        opened=tuple(sorted(opened)),
        statted=tuple(sorted(statted - opened)),
        listed=tuple(sorted({path for trace in given for path in trace.listed})),
    )


def read_trace(data: bytes, what: str) -> Trace:
    """Parse a trace file, which is not trusted; InputError says what is wrong. what: names it."""
    if len(data) > MAX_TRACE:
        raise InputError(f"{what}: a trace of more than {MAX_TRACE} bytes", hint=_HINT)
    try:
        value = json.loads(data)
        version = value["version"]
        if version != _VERSION:
            raise InputError(
                f"{what}: a trace of version {str(version)[:20]}, this slimpack reads {_VERSION}",
                hint="trace again with this slimpack",
            )
        return Trace(
            image=_text(value["image"]),
            commands=tuple(
                tuple(map(_text, _list(command))) for command in _list(value["commands"])
            ),
            opened=_paths(value["opened"]),
            statted=_paths(value["statted"]),
            listed=_paths(value["listed"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{what}: not a trace ({type(error).__name__}: {str(error)[:200]})", hint=_HINT
        ) from error


def _paths(values: Any) -> tuple[str, ...]:
    paths = [_text(value) for value in _list(values)]
    for path in paths:
        check_path(path)
    return tuple(sorted(set(paths)))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value
