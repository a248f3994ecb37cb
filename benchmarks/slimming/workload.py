"""One workload: its images are built, traced, run, and compared with their lower bound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.catalogue import Workload
from benchmarks.demo import ROOT, say
from benchmarks.running import slimpack
from benchmarks.setup.registry import free_port
from benchmarks.slimming.bound import (
    OPENED,
    SERVICE,
    TOUCHED,
    Bound,
    measure_bound,
    selected,
    touched,
)
from benchmarks.slimming.inside import (
    Place,
    Times,
    compile_all,
    import_times,
    in_environment,
    in_image,
    self_test,
)
from benchmarks.slimming.results import ENVIRONMENT, Built, Found
from slimpack.cache import Cache
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.oci.compress import DEFAULT
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import Placed, merged_view
from slimpack.platforms import SUBDIRS, resolve
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Sandbox
from slimpack.sandbox.host import Host
from slimpack.trace.record import Trace, read_trace

RELEASE_LEVEL = 19
RELEASED = ("safe", "tight")
"""Profiles that are built at `RELEASE_LEVEL` too."""
IMPORTED = ("safe", "tight")
"""Profiles whose images have their import times measured."""
PREFIX_IN_IMAGE = "/opt/env"


@dataclass(frozen=True)
class Plan:
    """What is measured. runs: of the imports, 0 for none. channel: name or URL."""

    profiles: tuple[str, ...]
    levels: tuple[int, ...]
    runs: int
    channel: str

    def profiles_at(self, level: int) -> tuple[str, ...]:
        """Return the profiles that are built at a level."""
        if level == DEFAULT.level:
            return self.profiles
        return tuple(profile for profile in self.profiles if profile in RELEASED)


@dataclass(frozen=True)
class _Opened:
    """An image that was built and unpacked. told: what the build told, as JSON."""

    image: Image
    view: Mapping[str, Placed]
    root: Path
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Bench:
    """Measures `workload`: builds in `folder`, with packages of `cache`, runs in `sandbox`."""

    workload: Workload
    plan: Plan
    sandbox: Sandbox
    folder: Path
    cache: Path

    def measured(self) -> Iterator[Found]:
        """Build, trace, run and compare; give each result as soon as it is there."""
        places: dict[str, Place] = {}
        with ExitStack() as stack:
            whole = self._build("none", DEFAULT.level)
            traces = self._traces(whole.image.config)
            for level in self.plan.levels:
                for profile in self.plan.profiles_at(level):
                    is_whole = (profile, level) == ("none", DEFAULT.level)
                    opened = whole if is_whole else self._build(profile, level)
                    prepared = stack.enter_context(self.sandbox.prepare(opened.root))
                    config = opened.image.config
                    say(f"{self.workload.name}: self-test, {profile}, level {level}")
                    passed = self_test(prepared, config, self.workload.self_test)
                    row = _row(profile, level, opened.told, passed)
                    yield self._found(built=(row,))
                    imports = self.plan.runs and self.workload.modules
                    if level == DEFAULT.level and profile in IMPORTED and imports:
                        places[profile] = in_image(prepared, config, self.workload.modules)
                    elif not is_whole:
                        shutil.rmtree(opened.root)
                for bound in self._bounds(whole, traces, level):
                    yield self._found(bounds=(bound,))
            if places:
                places[ENVIRONMENT] = self._environment(stack, whole)
                say(f"{self.workload.name}: import times, {self.plan.runs} runs")
                times = import_times(places, self.plan.runs)
                yield self._found(imports=tuple(times.items()))

    def _found(
        self,
        *,
        built: tuple[Built, ...] = (),
        bounds: tuple[Bound, ...] = (),
        imports: tuple[tuple[str, Times], ...] = (),
    ) -> Found:
        return Found(self.workload.title, built, bounds, imports)

    def _build(self, profile: str, level: int) -> _Opened:
        """Build an image as a user does, and unpack it."""
        name = f"{profile}-{level}"
        command = [
            *("build", "--config", str(self.workload.config.relative_to(ROOT))),
            *("--channel", self.plan.channel, "--profile", profile, "--level", str(level)),
            *("--lock", str(self._lock), "--output", f"{self.folder / name}/"),
            *(("--trace", str(self._trace(TOUCHED))) if profile == "traced" else ()),
            *("--json", "--progress", "none"),
        ]
        told = json.loads(self._slimpack(*command))
        image = read_image(self.folder / name)
        view = merged_view(image)
        root = self.folder / f"{name}-root"
        unpack_image(image, root, view=view)
        return _Opened(image, view, root, told)

    def _traces(self, config: ImageConfig) -> dict[str, Trace]:
        """Trace the service, with two requests, and then the self-test too."""
        workload = self.workload
        # A port of its own where its command names one, as it is to serve as a user's would.
        named = str(workload.port) in config.entrypoint
        port = str(free_port() if named else workload.port)
        service = [port if word == str(workload.port) else word for word in config.entrypoint]
        url = f"http://127.0.0.1:{port}"
        requests = (f"{url}/health", workload.request.argument(url))
        image = str(self.folder / f"none-{DEFAULT.level}")
        alone, both = self._trace(SERVICE), self._trace(TOUCHED)
        asked = [part for request in requests for part in ("--request", request)]
        self._slimpack("trace", image, "-o", str(alone), "--quiet", *asked, "--", *service)
        shutil.copyfile(alone, both)
        test = workload.self_test
        self._slimpack("trace", image, "-o", str(both), "--quiet", "--append", "--", *test)
        return {of: read_trace(self._trace(of).read_bytes(), of) for of in (SERVICE, TOUCHED)}

    def _bounds(self, whole: _Opened, traces: Mapping[str, Trace], level: int) -> Iterator[Bound]:
        """Yield the bounds at a level; those beside the first only where they take seconds."""
        kinds = [(TOUCHED, traces[TOUCHED], True)]
        if level == DEFAULT.level:
            kinds += [(SERVICE, traces[SERVICE], True), (OPENED, traces[TOUCHED], False)]
        for of, trace, sources in kinds:
            say(f"{self.workload.name}: the lower bound at level {level}: {of}")
            paths = touched(trace, whole.view.keys(), sources=sources)
            tree = selected(whole.image, whole.view, whole.root, paths)
            yield measure_bound(of, tree, level, self.folder)

    def _environment(self, stack: ExitStack, whole: _Opened) -> Place:
        """Install what the images hold, with bytecode for all of it."""
        prefix = self.folder / "prefix"
        engine = RattlerEngine(Cache(self.cache).packages, Cache(self.cache).repodata)
        engine.install(engine.read_lock(self._lock, SUBDIRS[resolve("")]), prefix)
        compile_all(prefix)
        host = stack.enter_context(Host().prepare(self.folder))
        return in_environment(
            host, whole.image.config, prefix, PREFIX_IN_IMAGE, self.workload.modules
        )

    @property
    def _lock(self) -> Path:
        return self.folder / "pixi.lock"

    def _trace(self, of: str) -> Path:
        return self.folder / f"{of.replace(' ', '-')}.json"

    def _slimpack(self, *arguments: str) -> str:
        """Run slimpack as this program's Python has it; RunError when it fails."""
        say(f"slimpack {' '.join(arguments)}")
        return slimpack(*arguments, cwd=ROOT, cache=self.cache).output


def _row(profile: str, level: int, told: Mapping[str, Any], checks: int) -> Built:
    return Built(
        profile=profile,
        level=level,
        size=told["size"],
        unpacked=told["unpacked"],
        files=told["files"],
        checks=checks,
        stages=tuple((name, round(seconds, 1)) for name, seconds in told["stages"]),
    )
