"""Many images that share packages, pushed one after another to one registry.

Image number i has Python, NumPy, SciPy, those of `OPTIONAL` whose bits are set in i, and an
application of its own: what a team has that builds one image a service. The first 2**k images
are all choices among the first k packages, so the last of them has all packages of all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.building.project import GLIBC
from benchmarks.building.pushed import stored
from benchmarks.demo import say
from benchmarks.running import slimpack
from benchmarks.setup.registry import docker_registry

ALWAYS = ("python =3.11", "numpy", "scipy")
OPTIONAL = ("uvicorn", "cloudpickle", "fastapi", "protobuf", "scikit-learn", "pip")
MOST = 2 ** len(OPTIONAL)
_SETTINGS = """\
[env]
spec = "environment.yml"

[image]
entrypoint = ["python", "/app/main.py"]

[[app.copy]]
from = "app"
to = "/app"
"""


@dataclass(frozen=True)
class Stock:
    """What a registry holds once so many images were pushed, and what that took.

    stored: bytes in the registry. alone: bytes of all images, each counted whole. last: of the
    last image. seconds, cpu: of all builds with their pushes. memory: bytes, of the largest
    process. bundle: bytes of one file with all of them; bundle_seconds: of writing it.
    """

    images: int
    stored: int
    alone: int
    last: int
    seconds: float
    cpu: float
    memory: int
    bundle: int
    bundle_seconds: float


def packages(number: int) -> tuple[str, ...]:
    """Return what image `number` is made of."""
    chosen = (name for bit, name in enumerate(OPTIONAL) if number >> bit & 1)
    return (*ALWAYS, *chosen)


def grow(folder: Path, channel: str, counts: Sequence[int]) -> Iterator[Stock]:
    """Push one image after another; yield what there is whenever `counts` has their number.

    folder: everything lies in it. The first build downloads the packages.
    """
    cache = folder / "cache"
    seconds = cpu = 0.0
    memory = alone = 0
    with docker_registry(folder / "registry") as host:
        for number in range(max(counts)):
            project = folder / "project"
            write_project(project, number)
            command = (
                *("build", "--channel", channel, "--glibc", GLIBC, "--json", "--progress", "none"),
                *("--push", reference(host, number)),
            )
            measured = slimpack(*command, cwd=project, cache=cache)
            size = int(json.loads(measured.output)["size"])
            seconds, cpu = seconds + measured.seconds, cpu + measured.cpu
            memory, alone = max(memory, measured.memory), alone + size
            if number + 1 in counts:
                say(f"{number + 1} images are pushed")
                held = sum(stored(folder / "registry").values())
                bundle, bundle_seconds = _bundle(folder, host, number + 1, cache)
                yield Stock(
                    number + 1, held, alone, size, seconds, cpu, memory, bundle, bundle_seconds
                )


def write_project(folder: Path, number: int) -> None:
    """Write what image `number` is built from."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "app").mkdir(parents=True)
    (folder / "slimpack.toml").write_text(_SETTINGS, encoding="utf-8")
    lines = "".join(f"  - {name}\n" for name in packages(number))
    (folder / "environment.yml").write_text(f"dependencies:\n{lines}", encoding="utf-8")
    (folder / "app" / "main.py").write_text(f"print('image {number}')\n", encoding="utf-8")


def reference(host: str, number: int) -> str:
    """Return where image `number` is pushed to."""
    return f"{host}/team/service-{number:02}:1"


def _bundle(folder: Path, host: str, count: int, cache: Path) -> tuple[int, float]:
    """Write one file with the first `count` images; return its bytes and the seconds it took."""
    target = folder / "site.slimpack.tar"
    target.unlink(missing_ok=True)
    images = (reference(host, number) for number in range(count))
    create = ("bundle", "create", *images, "--quiet", "-o", str(target))
    measured = slimpack(*create, cwd=folder, cache=cache)
    return target.stat().st_size, measured.seconds
