"""The names that benchmarks speak of, read from data: workloads, methods, metrics.

- ``benchmarks/workloads/NAME/workload.toml`` says what a workload is asked and what answer is
  good; how its image is built is in the ``slimpack.toml`` beside it.
- ``benchmarks/methods.toml``: how an environment becomes an image.
- ``benchmarks/metrics.toml``: what is measured, and in which unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from slimpack.errors import InputError
from slimpack.toml import Table, read_toml

HERE = Path(__file__).resolve().parent
WORKLOADS = HERE / "workloads"
Unit = Literal["bytes", "s", "count"]
Better = Literal["less", "more"]


@dataclass(frozen=True)
class Metric:
    """What is measured. exact: the same on every machine, so that it can be asserted."""

    name: str
    title: str
    unit: Unit
    better: Better
    exact: bool


@dataclass(frozen=True)
class Method:
    """A way to make an image. kind: which code does it; reason: why it cannot run here.

    options: what else the kind wants to know, such as a profile.
    """

    name: str
    title: str
    kind: str
    reason: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """The first request and its good answer.

    path: "" for a command that listens nowhere: what it prints, as JSON, is the answer.
    body: JSON, None for a GET. expect: what the answer must contain.
    """

    path: str
    expect: Mapping[str, Any]
    body: Any = None

    def argument(self, url: str) -> str:
        """Return it as ``slimpack trace --request`` takes it. url: without the path."""
        address = f"{url}{self.path}"
        return address if self.body is None else f"POST {address} {json.dumps(self.body)}"

    def is_answered_by(self, answer: Any) -> bool:
        """Tell whether an answer is the good one: every expected key with its value."""
        return isinstance(answer, Mapping) and all(
            name in answer and answer[name] == value for name, value in self.expect.items()
        )


@dataclass(frozen=True)
class Workload:
    """An application with its environment, in `folder`.

    groups: of the local channel, which it needs. modules: what its service imports, () where
    there is no Python. pure, heavy: packages that change in the benchmark of rebuilds.
    port: where it listens inside of its container. self_test: argv, in its work folder.
    gpu: it needs a GPU to be more than built.
    """

    name: str
    title: str
    folder: Path
    groups: tuple[str, ...]
    modules: tuple[str, ...]
    request: Request
    port: int
    self_test: tuple[str, ...]
    pure: str = ""
    heavy: str = ""
    gpu: bool = False

    @property
    def config(self) -> Path:
        """How slimpack builds it."""
        return self.folder / "slimpack.toml"


def workloads(names: Sequence[str] = (), *, started: bool = False) -> dict[str, Workload]:
    """Return name -> workload, in the order of names; `names`: only these, InputError if unknown.

    Without names, those that need a GPU stay out. started: they will be started here, so that
    to name one of those is an InputError, too.
    """
    every = _all_workloads()
    for name in names:
        if name not in every:
            raise InputError(f"no workload {name!r}", hint=f"known: {', '.join(every)}")
        if started and every[name].gpu:
            raise InputError(
                f"workload {name} needs a GPU and is not started here",
                hint=f"`python -m benchmarks run images --workload {name}` measures its image",
            )
    return {
        name: workload
        for name, workload in every.items()
        if name in names or (not names and not workload.gpu)
    }


def workload_names() -> tuple[str, ...]:
    """Return every workload's name, also of those that need a GPU."""
    return tuple(_all_workloads())


def workload_of(name: str) -> Workload | None:
    """Return the workload of a name, whether or not it needs a GPU; None for no workload's."""
    return _all_workloads().get(name)


@cache
def methods() -> dict[str, Method]:
    """Return name -> method, in the order of the file."""
    return {name: _method(name, table) for name, table in _tables(HERE / "methods.toml").items()}


@cache
def metrics() -> dict[str, Metric]:
    """Return name -> metric, in the order of the file."""
    return {name: _metric(name, table) for name, table in _tables(HERE / "metrics.toml").items()}


@cache
def _all_workloads() -> dict[str, Workload]:
    files = sorted(WORKLOADS.glob("*/workload.toml"), key=lambda file: _order(file.parent.name))
    return {file.parent.name: _workload(file) for file in files}


def _order(name: str) -> tuple[bool, str]:
    """W0, W1, ..., and those for GPUs after them."""
    return (not name.startswith("w"), name)


def _workload(file: Path) -> Workload:
    data = read_toml(file)
    top = Table(data, _shown(file), "")
    request = top.table("request")
    port = top.integer("port", 8000, minimum=1, maximum=65535)
    found = Workload(
        name=file.parent.name,
        title=top.string("title"),
        folder=file.parent,
        groups=top.strings("groups"),
        modules=top.strings("modules"),
        request=Request(
            path=request.string("path", "/"),
            expect=_free(request, data["request"], "expect"),
            body=_free(request, data["request"], "body") or None,
        ),
        port=port,
        self_test=top.strings("self_test"),
        pure=top.string("pure"),
        heavy=top.string("heavy"),
        gpu=top.boolean("gpu", False),
    )
    request.finish()
    top.finish()
    return found


def _free(table: Table, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of the user's own making; it is asked for, so that it counts as known."""
    table.table(key)
    value: Mapping[str, Any] = json.loads(json.dumps(data.get(key, {})))  # plain JSON, no dates
    return value


def _method(name: str, table: Table) -> Method:
    title, kind, reason = table.string("title"), table.string("kind"), table.string("reason")
    options = {key: table.string(key) for key in table.names() if key not in _METHOD_KEYS}
    return Method(name, title, kind, reason, options)


_METHOD_KEYS = ("title", "kind", "reason")


def _metric(name: str, table: Table) -> Metric:
    units: tuple[Unit, ...] = ("bytes", "s", "count")
    ways: tuple[Better, ...] = ("less", "more")
    metric = Metric(
        name=name,
        title=table.string("title"),
        unit=table.choice("unit", units, "count"),
        better=table.choice("better", ways, "less"),
        exact=table.boolean("exact", False),
    )
    table.finish()
    return metric


def _tables(file: Path) -> dict[str, Table]:
    return {name: Table(data, _shown(file), name) for name, data in read_toml(file).items()}


def _shown(file: Path) -> str:
    return str(file.relative_to(HERE.parent))
