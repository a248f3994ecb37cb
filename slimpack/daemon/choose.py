"""Which engine an image goes to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from slimpack.daemon.seen import Seen
from slimpack.errors import DaemonError, InputError
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, images_of
from slimpack.platforms import here
from slimpack.progress import SILENT, Progress

AUTO = "auto"


class Load(Protocol):
    """What `load_into_docker` and its likes have in common."""

    def __call__(
        self, image: Image, names: Sequence[str], /, *, progress: Progress = SILENT
    ) -> str:
        """Load an image under names; return the engine's id of it."""


class Look(Protocol):
    """What `slimpack.daemon.docker.look` and its likes have in common."""

    def __call__(self, image: Image, names: Sequence[str], /) -> Seen:
        """Look, and change nothing; raise DaemonError for an engine that is not there."""


@dataclass(frozen=True)
class Sink:
    """An engine. name: one of `ENGINES`. variable: of the environment, that says where it is.

    reach: raises DaemonError, with what to do, where it does not answer.
    look: tells what it has of an image.
    """

    name: str
    variable: str
    load: Load
    reach: Callable[[], None]
    look: Look


def _sink(name: str, variable: str) -> Sink:
    """Return an engine whose module, with its libraries, is imported when it is used."""

    def module() -> _Module:
        return cast("_Module", import_module(f"{__package__}.{name}"))

    def load(image: Image, names: Sequence[str], /, *, progress: Progress = SILENT) -> str:
        return module().load(image, names, progress=progress)

    def look(image: Image, names: Sequence[str], /) -> Seen:
        return module().look(image, names)

    return Sink(name, variable, load, lambda: module().reach(), look)


class _Module(Protocol):
    """What the modules of engines have in common."""

    load: Load
    reach: Callable[[], None]
    look: Look


_SINKS = (
    _sink("docker", "DOCKER_HOST"),
    _sink("podman", "CONTAINER_HOST"),
    _sink("containerd", "CONTAINERD_ADDRESS"),
)
ENGINES = tuple(sink.name for sink in _SINKS)


def choose(engine: str = AUTO) -> Sink:
    """Return the engine of that name; for ``auto`` one that is there.

    auto: the first of `ENGINES` that a variable names (DOCKER_HOST, CONTAINER_HOST,
        CONTAINERD_ADDRESS), whether or not it answers; else the first that answers.
    Raises InputError for an unknown name, DaemonError when none answers.
    """
    for sink in _SINKS:
        if engine == sink.name or (engine == AUTO and os.environ.get(sink.variable)):
            return sink
    if engine != AUTO:
        raise InputError(
            f"there is no engine {engine!r}", hint=f"use {AUTO} or one of {', '.join(ENGINES)}"
        )
    reasons = []
    for sink in _SINKS:
        try:
            sink.reach()
        except DaemonError as error:
            reasons.append(f"{sink.name}: {error.message}")
        else:
            return sink
    raise DaemonError(
        "there is no container engine",
        details="\n".join(reasons),
        hint="start one, or say where it is (DOCKER_HOST, CONTAINER_HOST, CONTAINERD_ADDRESS), "
        "or write a file with --output",
    )


def load(
    target: Image, names: Sequence[str], *, engine: str = AUTO, progress: Progress = SILENT
) -> str:
    """Load an image into an engine under each of `names`; return the engine's id of it.

    engine: as `choose` takes it. The id is the config digest, or the manifest digest where
    the engine is containerd or keeps its images there. Raises DaemonError, ImageError or
    InputError; an engine that has an image under another id afterwards is an error.
    """
    return choose(engine).load(target, names, progress=progress)


def for_here(target: Deliverable) -> Image:
    """Return the one image, or that of an index for this machine.

    Raises InputError for an index without one.
    """
    images = images_of(target)
    if len(images) == 1:
        return images[0]
    wanted = Platform.parse(here())
    fitting = [image for image in images if image.platform.matches(wanted)]
    if not fitting:
        there = ", ".join(str(image.platform) for image in images)
        raise InputError(
            f"an engine keeps images of its own platform, {wanted}; this one is for {there}",
            hint="write it with --output, or push it to a registry",
        )
    return fitting[0]
