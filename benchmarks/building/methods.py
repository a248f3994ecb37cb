"""Methods at work: benchmarks/methods.toml says which there are, here is what its kinds do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.building.bases import load_bases
from benchmarks.building.dockerfiles import Docker, Environment, Installed, Packed, Venv
from benchmarks.building.engine import tidy
from benchmarks.building.making import Maker
from benchmarks.building.ours import Slimpack
from benchmarks.building.project import Project
from benchmarks.building.recipe import BASE, BUILDER, DEBIAN, PYTHON
from benchmarks.building.wheels import names_of, not_wheels, wheels_of
from benchmarks.catalogue import Method, methods, workload_names, workloads
from benchmarks.demo import say
from benchmarks.records import Record, Results
from benchmarks.setup.apt import install
from benchmarks.setup.engine import ensure_engine
from benchmarks.setup.peers import PEERS
from slimpack.errors import InputError
from slimpack.oci.compress import DEFAULT

SLIMPACK = "slimpack"
_ENVIRONMENTS: dict[str, Callable[[Project], Environment]] = {
    "installed": Installed,
    "conda-pack": Packed,
    "venv": Venv,
}
_BASES = {"installed": (DEBIAN,), "conda-pack": (DEBIAN, BASE), "venv": (BUILDER, PYTHON)}


def wanted(names: Collection[str], part: str) -> list[Method]:
    """Return the methods of these names that run here and are for a part.

    Without names, all but those that are measured only when they are asked for.
    """

    def is_wanted(method: Method) -> bool:
        return method.name in names if names else method.options.get("asked") != "only"

    return able(filter(is_wanted, methods().values()), part)


def level_of(method: Method) -> int:
    """Return how hard the layers of slimpack's image are compressed."""
    return int(method.options.get("level", DEFAULT.level))


def able(chosen: Iterable[Method], part: str) -> list[Method]:
    """Return the methods that run here, of those that a part of the benchmarks takes."""
    return [
        method
        for method in chosen
        if not method.reason and method.options.get("part", part) == part
    ]


def reason_against(method: Method, project: Project) -> str:
    """Return why a method cannot make the image of a project, "" where it can.

    The project's lock must be there for kinds that install from one.
    """
    if project.workload.gpu and method.options.get("profile") == "traced":
        return "its service can be traced on a GPU alone"
    if not project.workload.gpu and "gpu_arch" in method.options:
        return "nothing in it is for GPUs"
    if method.reason or method.kind != "venv":
        return method.reason
    if not project.workload.modules:
        return "no Python in it"
    if project.workload.gpu:
        return "the channel has NVIDIA's libraries as packages, not as the wheels that pip installs"
    missing = not_wheels(project.asked, wheels_of(names_of(project.lock)))
    return f"pip has no {', '.join(missing)} of the channel's" if missing else ""


def maker(
    method: Method, project: Project, folder: Path, *, trace: Callable[[], Path] | None = None
) -> Maker:
    """Return the method at work on a project. folder: its own, of context or cache.

    trace: gives the project's trace, for the profile ``traced``. InputError for an unknown kind.
    """
    options = method.options
    if method.kind == SLIMPACK:
        verify = () if options.get("verify", "yes") == "yes" else ("--no-verify",)
        profile = options["profile"]
        level = () if level_of(method) == DEFAULT.level else ("--level", str(level_of(method)))
        devices = ("--gpu-arch", options["gpu_arch"]) if "gpu_arch" in options else ()
        return Slimpack(
            project,
            folder / "cache",
            options=("--profile", profile, *level, *verify, *devices),
            locked=options.get("locked") == "yes",
            trace=trace if profile == "traced" else None,
        )
    if method.kind not in _ENVIRONMENTS:
        known = ", ".join((SLIMPACK, *_ENVIRONMENTS))
        raise InputError(f"methods.toml: {method.name}: no kind {method.kind!r}", hint=known)
    return Docker(_ENVIRONMENTS[method.kind](project), project, folder / "context")


def commands(chosen: Iterable[Method]) -> dict[str, Sequence[str]]:
    """Return method -> what it runs, for the reader."""
    nobody = Project(next(iter(workloads().values())), Path("WORK"))
    return {
        method.name: maker(method, nobody, Path("WORK"), trace=lambda: Path("TRACE")).commands
        for method in chosen
    }


def in_order(results: Results, cases: Sequence[str] = ()) -> Results:
    """Return results sorted for a table: by workload, case and method, as their files have them."""
    names = list(workload_names()), list(cases), list(methods())

    def place(record: Record) -> tuple[int, ...]:
        values = record.workload, record.case, record.method
        return tuple(
            known.index(value) if value in known else len(known)
            for known, value in zip(names, values, strict=True)
        )

    return replace(results, records=tuple(sorted(results.records, key=place)))


def needs_lock(chosen: Iterable[Method]) -> bool:
    """Tell whether any of them installs from a lock."""
    return any(method.kind in _BASES or method.options.get("locked") for method in chosen)


@contextmanager
def set_up(chosen: Collection[Method], folder: Path) -> Iterator[None]:
    """Bring what the methods stand on: a registry's program, an engine, images to build on."""
    install([PEERS["docker-registry"]])
    kinds = dict.fromkeys(method.kind for method in chosen if method.kind in _BASES)
    if not kinds:
        yield
        return
    ensure_engine()
    images = tuple(dict.fromkeys(image for kind in kinds for image in _BASES[kind]))
    with tidy(*images):
        say("making the images that Dockerfiles stand on")
        load_bases(images, folder / "bases", folder / "cache-of-bases")
        yield
