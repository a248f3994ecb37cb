"""The ways that people have today: a plain Dockerfile, and one that takes conda-pack's archive."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demo import say
from benchmarks.rebuilding import installer
from benchmarks.rebuilding.bases import BASE, DEBIAN
from benchmarks.rebuilding.methods import (
    CASES,
    ONE_HEAVY,
    ONE_PURE,
    PACKAGES,
    Step,
    cpu_of_children,
)
from benchmarks.rebuilding.project import Project, link
from benchmarks.rebuilding.pushed import REPOSITORY, TAG
from benchmarks.running import docker, measure

PREFIX = "/opt/env"
LABEL = "slimpack.benchmark=rebuild"
_MANY = "2"  # threads of conda-pack's compressor
_TAIL = f"""
COPY app /app
COPY checks /app/checks
ENV PATH={PREFIX}/bin:/usr/local/bin:/usr/bin:/bin CONDA_PREFIX={PREFIX} OMP_NUM_THREADS=1
LABEL {LABEL}
WORKDIR /app
EXPOSE 8000
ENTRYPOINT ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
"""
_NAIVE = f"""
FROM {DEBIAN}
COPY installer.py pixi.lock /install/
RUN --mount=type=bind,source=channel,target=@CHANNEL@ \\
    --mount=type=cache,id=slimpack-bench-rebuild,target=/pkgs \\
    ["python3.11", "/install/installer.py", "/install/pixi.lock", "{PREFIX}", "/pkgs"]
"""
_PACKED = f"""
FROM {DEBIAN} AS unpacked
ADD env.tar.gz {PREFIX}
RUN ["{PREFIX}/bin/python", "{PREFIX}/bin/conda-unpack"]
FROM {BASE}
COPY --from=unpacked {PREFIX} {PREFIX}
"""
# Nothing is downloaded: packages lie in the context.
_BUILD = ("docker", "build", "--network", "none")
_BUILDKIT = {**os.environ, "DOCKER_BUILDKIT": "1"}
_NEW_ENVIRONMENT = (PACKAGES, ONE_PURE, ONE_HEAVY)


@dataclass(frozen=True)
class Docker:
    """``docker build`` and ``docker push``, in a folder of its own.

    packed: the environment is installed here and packed by conda-pack, whenever it changed;
    else a RUN installs it, with packages of the context and a cache mount.
    """

    project: Project
    context: Path
    packed: bool
    cases: Sequence[str] = CASES[1:]

    def prepare(self, case: str) -> None:
        """Bring the context up to date; environments are installed, packages are linked."""
        if case == PACKAGES and not self.context.exists():
            self._make()
        for name in ("app", "checks"):
            source = (self.project.config if name == "app" else self.project.folder) / name
            shutil.rmtree(self.context / name, ignore_errors=True)
            shutil.copytree(source, self.context / name)
        if case in _NEW_ENVIRONMENT:
            if self.packed:
                self._install()
            else:
                self._link_packages()

    def _make(self) -> None:
        self.context.mkdir(parents=True)
        channel = str(self.project.channel)
        text = _PACKED if self.packed else _NAIVE.replace("@CHANNEL@", channel)
        (self.context / "Dockerfile").write_text(text.lstrip() + _TAIL.lstrip(), encoding="utf-8")
        if not self.packed:
            (self.context / "channel").mkdir()
            shutil.copy2(installer.__file__, self.context / "installer.py")
            self._link_packages()
            say("filling the cache mount of the Dockerfile")
            for name in ("app", "checks"):
                (self.context / name).mkdir()
            measure((*_BUILD, "--progress", "plain", "."), cwd=self.context, env=_BUILDKIT)

    def _link_packages(self) -> None:
        shutil.copy2(self.project.lock, self.context / "pixi.lock")
        wanted = {
            self.context / "channel" / path.relative_to(self.project.channel): path
            for path in self.project.locked()
        }
        for path in (self.context / "channel").glob("*/*.conda"):
            if path not in wanted:
                path.unlink()
        for target, source in wanted.items():
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                link(source, target)

    def _install(self) -> None:
        arguments = (self.project.lock, self._prefix, self.context.with_name("pkgs"))
        command = (sys.executable, installer.__file__, *map(str, arguments))
        measure(command, cwd=self.project.folder)

    @property
    def _prefix(self) -> Path:
        return self.context.with_name("prefix")

    def run(self, case: str, host: str) -> Step:
        """Pack where the environment changed, build, push."""
        image = f"{host}/{REPOSITORY}:{TAG}"
        building: list[tuple[str, ...]] = []
        if self.packed and case in _NEW_ENVIRONMENT:
            program = str(Path(sys.executable).with_name("conda-pack"))
            building.append(
                (
                    *(program, "--quiet", "--force", "--n-threads", _MANY),
                    *("--prefix", str(self._prefix), "--output", "env.tar.gz"),
                )
            )
        cold = ("--no-cache",) if case == PACKAGES else ()
        building.append((*_BUILD, "--quiet", *cold, "--tag", image, "."))
        before = cpu_of_children() + _cpu_of_engine()
        built = [measure(command, cwd=self.context, env=_BUILDKIT) for command in building]
        pushed = measure(("docker", "push", "--quiet", image), cwd=self.context)
        return Step(
            build=sum(measured.seconds for measured in built),
            push=pushed.seconds,
            cpu=cpu_of_children() + _cpu_of_engine() - before,
            memory=max(measured.memory for measured in (*built, pushed)),
        )

    def check(self, host: str) -> None:
        """Run the workload's self-test in the image."""
        options = ("--rm", "--network", "none", "--entrypoint", f"{PREFIX}/bin/python")
        docker("run", *options, f"{host}/{REPOSITORY}:{TAG}", "selftest.py")


def clean(host: str) -> None:
    """Remove the images of a registry, and what builds left of earlier ones."""
    docker("rmi", "--force", f"{host}/{REPOSITORY}:{TAG}", check=False)
    docker("image", "prune", "--force", "--filter", f"label={LABEL}", check=False)


@contextmanager
def tidy() -> Iterator[None]:
    """Afterwards, remove the images below and what BuildKit keeps since this began."""
    before = _cached()
    try:
        yield
    finally:
        docker("rmi", "--force", BASE, DEBIAN, check=False)
        made = {record: date for record, date in _cached().items() if record not in before}
        # The newest first: BuildKit keeps what others were made from.
        for record in sorted(made, key=made.__getitem__, reverse=True):
            docker("builder", "prune", "--all", "--force", "--filter", f"id={record}", check=False)


def _cached() -> dict[str, str]:
    """Return id -> date of BuildKit's records; Docker marks those in use by a star."""
    told = docker("system", "df", "--verbose", "--format", "{{json .BuildCache}}").stdout
    return {record["ID"].rstrip("*"): record["CreatedAt"] for record in json.loads(told) or ()}


def _cpu_of_engine() -> float:
    """Return the CPU seconds of the Docker engine and of what it ran; 0.0 where it is not here.

    Fields 14 to 17 of ``/proc/PID/stat`` (proc(5)): its own and those of ended children.
    """
    found = [path.parent for path in Path("/proc").glob("[0-9]*/comm") if _text(path) == "dockerd"]
    total = 0
    for process in found:
        fields = _text(process / "stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:  # the process has ended
        return ""
