"""The ways that people have today: ``docker build`` and ``docker push``.

They differ in how the environment comes into the image: a RUN installs it, conda-pack packs it,
or pip fills a virtual environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.building import installer
from benchmarks.building.engine import cpu_of_engine, forget_peak, peak_of_engine, remove_image
from benchmarks.building.making import (
    CASES,
    COLD,
    NEW_ENVIRONMENT,
    ONE_HEAVY,
    ONE_PURE,
    Step,
    cpu_of_children,
)
from benchmarks.building.project import Project, link
from benchmarks.building.recipe import INSTALLED, PACKED, VENV, application
from benchmarks.building.wheels import names_of, renewed, wheels_of
from benchmarks.demo import say
from benchmarks.running import measure
from slimpack.app import collect
from slimpack.config import AppConfig

_THREADS = "2"  # of conda-pack's compressor
# Nothing is downloaded: packages lie in the context.
_BUILD = ("docker", "build", "--network", "none")
_BUILDKIT = {**os.environ, "DOCKER_BUILDKIT": "1"}


class Environment(Protocol):
    """How the environment comes into an image."""

    @property
    def conda(self) -> bool:
        """Whether it is an environment of conda."""

    def dockerfile(self) -> str:
        """Return the Dockerfile up to the application."""

    def refresh(self, context: Path, case: str) -> float:
        """Bring the context up to date with the lock; return the seconds of installing."""

    def commands(self, context: Path) -> Sequence[Sequence[str]]:
        """Return what is run in the context, and measured, before docker is."""


@dataclass(frozen=True)
class Installed:
    """A RUN installs the lock, with packages of the context and a cache mount."""

    project: Project
    conda: bool = True

    def dockerfile(self) -> str:
        """Return the lines that install; the lock names packages by their paths here."""
        return INSTALLED.replace("@CHANNEL@", str(self.project.channel))

    def refresh(self, context: Path, case: str) -> float:
        """Lay the lock and its packages into the context."""
        shutil.copy2(installer.__file__, context / "installer.py")
        shutil.copy2(self.project.lock, context / "pixi.lock")
        wanted = {
            context / "channel" / path.relative_to(self.project.channel): path
            for path in self.project.locked()
        }
        for path in (context / "channel").glob("*/*.conda"):
            if path not in wanted:
                path.unlink()
        for target, source in wanted.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                link(source, target)
        return 0.0

    def commands(self, context: Path) -> Sequence[Sequence[str]]:
        """Nothing."""
        return ()


@dataclass(frozen=True)
class Packed:
    """conda-pack packs an environment that was installed beforehand."""

    project: Project
    conda: bool = True

    def dockerfile(self) -> str:
        """Return the stages that unpack and copy."""
        return PACKED

    def refresh(self, context: Path, case: str) -> float:
        """Install the lock beside the context; where all is cold, anew from unpacked packages."""
        prefix, packages = context.with_name("prefix"), context.with_name("pkgs")
        command = (
            sys.executable,
            installer.__file__,
            *map(str, (self.project.lock, prefix, packages)),
        )
        if case == COLD:
            if not packages.exists():
                measure(command, cwd=self.project.folder)
            shutil.rmtree(prefix, ignore_errors=True)
        return measure(command, cwd=self.project.folder).seconds

    def commands(self, context: Path) -> Sequence[Sequence[str]]:
        """conda-pack, into the context."""
        program = str(Path(sys.executable).with_name("conda-pack"))
        prefix = str(context.with_name("prefix"))
        options = ("--quiet", "--force", "--n-threads", _THREADS)
        return [(program, *options, "--prefix", prefix, "--output", "env.tar.gz")]


@dataclass(frozen=True)
class Venv:
    """Pip installs wheels of the lock's versions into a virtual environment of Debian's Python."""

    project: Project
    conda: bool = False

    def dockerfile(self) -> str:
        """Return the stages that install and copy."""
        return VENV

    def refresh(self, context: Path, case: str) -> float:
        """Lay the wheels into the context; of the package that changes, the next one."""
        folder = context / "wheels"
        folder.mkdir(exist_ok=True)
        wheels = wheels_of(names_of(self.project.lock))
        for path in wheels.values():
            target = folder / path.name
            if not target.exists():
                link(path, target)
        workload = self.project.workload
        changed = {ONE_PURE: workload.pure, ONE_HEAVY: workload.heavy}.get(case)
        if changed:
            renewed(folder / wheels[changed].name, folder)
        return 0.0

    def commands(self, context: Path) -> Sequence[Sequence[str]]:
        """Nothing."""
        return ()


@dataclass(frozen=True)
class Docker:
    """``docker build`` and ``docker push``, in a folder of its own."""

    environment: Environment
    project: Project
    context: Path
    cases: Sequence[str] = CASES[1:]

    @property
    def commands(self) -> Sequence[str]:
        """What it runs, for the reader."""
        before = [
            " ".join((Path(command[0]).name, *command[1:])).replace(
                str(self.context.parent), "WORK"
            )
            for command in self.environment.commands(self.context)
        ]
        return (
            *before,
            f"{' '.join(_BUILD)} --quiet --tag REFERENCE .  # cold: --no-cache",
            "docker push --quiet REFERENCE",
        )

    def prepare(self, case: str) -> float:
        """Bring the context up to date; environments are installed, packages are linked."""
        seconds = 0.0
        is_new = not self.context.exists()
        self.context.mkdir(parents=True, exist_ok=True)
        self._copy_application()
        if case in NEW_ENVIRONMENT or is_new:
            seconds = self.environment.refresh(self.context, case)
        if is_new:
            text = self.environment.dockerfile()
            text += application(self.project.config, conda=self.environment.conda)
            (self.context / "Dockerfile").write_text(text, encoding="utf-8")
            if isinstance(self.environment, Installed):
                say("filling the cache mount of the Dockerfile")
                measure((*_BUILD, "--quiet", "."), cwd=self.context, env=_BUILDKIT)
        return seconds

    def _copy_application(self) -> None:
        """Lay the files of each rule at their paths in the image into a folder of their own."""
        for number, rule in enumerate(self.project.config.app.copy):
            folder = self.context / f"app{number}"
            shutil.rmtree(folder, ignore_errors=True)
            for entry in collect(AppConfig(copy=(rule,))):
                target = folder / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if entry.link:
                    target.symlink_to(entry.link)
                else:
                    with entry.open() as source, target.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                    target.chmod(entry.mode)

    def run(self, case: str, reference: str) -> Step:
        """Pack where the environment changed, build, push."""
        fresh = case in NEW_ENVIRONMENT
        building = list(self.environment.commands(self.context)) if fresh else []
        cold = ("--no-cache",) if case == COLD else ()
        building.append((*_BUILD, "--quiet", *cold, "--tag", reference, "."))
        forget_peak()
        before = cpu_of_children() + cpu_of_engine()
        built = [measure(command, cwd=self.context, env=_BUILDKIT) for command in building]
        pushed = measure(("docker", "push", "--quiet", reference), cwd=self.context)
        return Step(
            build=sum(measured.seconds for measured in built),
            push=pushed.seconds,
            cpu=cpu_of_children() + cpu_of_engine() - before,
            memory=max(*(measured.memory for measured in (*built, pushed)), peak_of_engine()),
        )

    def clean(self, reference: str) -> None:
        """Remove the image from the engine."""
        remove_image(reference)
