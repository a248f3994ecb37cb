"""The images that are started: the same files in layers of each form."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.building.filling import Kitchen
from benchmarks.building.touching import touch_start
from benchmarks.catalogue import Method, Workload, methods
from benchmarks.demo import say

PART = "lazy"


@dataclass(frozen=True)
class Form:
    """Layers of one form. profile, compression: as slimpack knows them.

    traced: a start's files first. mounted: started before it is there.
    """

    name: str
    profile: str
    compression: str
    traced: bool
    mounted: bool

    @property
    def repository(self) -> str:
        """Part of a reference; forms that only differ in how they start have the same image."""
        return f"{self.compression.replace(':', '-')}{'-traced' if self.traced else ''}"


def forms() -> dict[str, Form]:
    """Return name -> form, for the methods that this part has."""
    chosen = (method for method in methods().values() if method.options.get("part") == PART)
    return {method.name: form_of(method) for method in chosen}


def form_of(method: Method) -> Form:
    """Return what a method's options say."""
    options = method.options
    traced, mounted = options.get("traced") == "yes", options.get("mounted") == "yes"
    return Form(method.name, options["profile"], options["compression"], traced, mounted)


def reference(host: str, workload: Workload, form: Form) -> str:
    """Return what an image is called in the registry."""
    return f"{host}/{form.repository}/{workload.name}:1"


def push(workload: Workload, chosen: Iterable[Form], host: str, folder: Path) -> None:
    """Build a workload in each form and push it. folder: for what is made on the way."""
    kitchen = Kitchen(workload, folder)
    for form in {form.repository: form for form in chosen}.values():
        say(f"{workload.name}: {form.repository}")
        trace = _trace(kitchen) if form.traced else None
        where = ("--push", reference(host, workload, form))
        kitchen.project.slimpack(
            *("build", *kitchen.project.options, *build_options(form, trace), *where),
            cache=kitchen.cache,
        )
    shutil.rmtree(folder)


def _trace(kitchen: Kitchen) -> Path:
    """Return what a start touches, until the first answer."""
    path = kitchen.folder / "start.json"
    if not path.exists():
        touch_start(kitchen.project, kitchen.whole, path)
    return path


def build_options(form: Form, trace: Path | None) -> Sequence[str]:
    """Return what makes a form of an image. trace: of the image's workload."""
    return list(_options(form, trace))


def _options(form: Form, trace: Path | None) -> Iterator[str]:
    yield from ("--profile", form.profile, "--no-verify", "--compression", form.compression)
    if trace:
        yield from ("--trace", str(trace))
