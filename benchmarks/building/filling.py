"""Registries full of images: METHOD/WORKLOAD:1 for methods and workloads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.building.making import COLD, TAG
from benchmarks.building.methods import SLIMPACK, able, maker, needs_lock, reason_against, set_up
from benchmarks.building.project import Project
from benchmarks.building.touching import touch
from benchmarks.catalogue import Method, Workload
from benchmarks.demo import say
from benchmarks.setup.registry import docker_registry


def repository(method: str, workload: str) -> str:
    """Return what the image of a method and a workload is called in registries."""
    return f"{method}/{workload}"


@dataclass(frozen=True)
class Made:
    """An image in a registry, as HOST/METHOD/WORKLOAD:1, or the reason why there is none."""

    method: Method
    reference: str
    reason: str = ""


@dataclass(frozen=True)
class Kitchen:
    """Makes images of one workload, in `folder`; all of slimpack's share a cache of layers.

    A frozen class with cached properties: each is made once, when it is first asked for.
    """

    workload: Workload
    folder: Path

    @cached_property
    def project(self) -> Project:
        """The workload, its application prepared."""
        project = Project(self.workload, self.folder / "project")
        project.make()
        return project

    @cached_property
    def whole(self) -> Path:
        """The image from which nothing is taken, as an OCI layout."""
        layout = self.folder / "none"
        options = ("--profile", "none", "--no-verify", "--output", f"{layout}/")
        self.project.slimpack("build", *options, *self.project.options, cache=self.cache)
        return layout

    @cached_property
    def trace(self) -> Path:
        """What the service and the self-test touch in that image."""
        path = self.folder / "trace.json"
        touch(self.project, self.whole, path)
        return path

    @property
    def cache(self) -> Path:
        """The cache of slimpack."""
        return self.folder / "ours" / "cache"

    def made(self, methods: Iterable[Method], host: str) -> Iterator[Made]:
        """Make and push an image by each method that can."""
        chosen = list(methods)
        if needs_lock(chosen):
            self.project.solve()
        for method in chosen:
            reason = reason_against(method, self.project)
            if reason:
                yield Made(method, "", reason)
                continue
            say(f"{self.workload.name}: {method.title}")
            name = "ours" if method.kind == SLIMPACK else method.name
            by = maker(method, self.project, self.folder / name, trace=lambda: self.trace)
            reference = f"{host}/{repository(method.name, self.workload.name)}:{TAG}"
            # slimpack's makers share a cache, so that profiles share the packages.
            if method.kind != SLIMPACK:
                by.prepare(COLD)
            by.run(COLD, reference)
            by.clean(reference)
            yield Made(method, reference)


def fill(
    registry: Path, workloads: Iterable[Workload], methods: Iterable[Method], work: Path
) -> dict[tuple[str, str], str]:
    """Put METHOD/WORKLOAD:1 into the folder of a docker-registry (`docker_registry`).

    work: a folder for what is made on the way; it is removed. Returns (method, workload) ->
    repository, for what could be made. Raises what `benchmarks.ending` catches.
    """
    chosen = able(methods, "images")
    made = {}
    try:
        with set_up(chosen, work), docker_registry(registry) as host:
            for workload in workloads:
                folder = work / workload.name
                for one in Kitchen(workload, folder).made(chosen, host):
                    if one.reference:
                        name = repository(one.method.name, workload.name)
                        made[one.method.name, workload.name] = name
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made
