"""Fixtures of all tests: the local channel, an engine with a cache of its own, the CLI.

A test that needs something this machine lacks is skipped with the reason, unless
SLIMPACK_REQUIRE_CHANNEL, _ENGINE, _NETWORK, _SHELLS or _PEERS says that it must be
there (CI does): then it fails.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.rattler.engine import RattlerEngine
from tests.support.channel import GLIBC, ROOT, MiniChannel, Run, missing, snapshot
from tests.support.command import call, start, variables
from tests.support.images import Built, build, read_built
from tests.support.once import once, run_folder
from tests.support.schedule import Schedule, rank

# How long an example takes says nothing about code where other programs run too.
settings.register_profile("slimpack", deadline=None)
settings.load_profile("slimpack")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule | None:
    return Schedule(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=rank)


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of the local channel with CPython and the demo's packages; built when needed."""
    return built_channel(tmp_path_factory)


@pytest.fixture(scope="session")
def cuda_channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a channel with CUDA's smaller libraries and CuPy as well."""
    return built_channel(tmp_path_factory, "cuda")


@pytest.fixture(scope="session")
def heavy_channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a channel with big packages, up to TensorFlow; they take minutes to make."""
    return built_channel(tmp_path_factory, "heavy")


def built_channel(factory: pytest.TempPathFactory, *groups: str) -> str:
    """Build the local channel, with groups of packages, and return the URL of a copy.

    The copy stays as it is when another process of the tests asks for more groups.
    """
    if groups:
        built_channel(factory)  # in seconds, so that nobody waits for it until the rest is made

    def make(folder: Path) -> None:
        options = [word for group in groups for word in ("--group", group)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.channel", "build", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            missing("CHANNEL", f"the local channel cannot be built: {done.stderr.strip()[-500:]}")
        snapshot(ROOT / "build" / "channel", folder)

    return once(run_folder(factory) / "-".join(("channel", *groups)), make).as_uri()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slimpack cache for the whole test run."""
    folder = run_folder(tmp_path_factory) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def engine(cache_dir: Path) -> RattlerEngine:
    """The embedded engine on the session's cache."""
    return RattlerEngine(cache_dir / "pkgs", cache_dir / "repodata")


@pytest.fixture
def run(cache_dir: Path) -> Run:
    """Run a command of slimpack's in a folder, with the session's cache; checks its exit code."""

    def of_slimpack(
        *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = call(arguments, cwd, variables(cache_dir, env))
        assert done.returncode == code, done.stderr + done.stdout
        return done

    return of_slimpack


@pytest.fixture
def run_process(cache_dir: Path) -> Run:
    """As `run`, in a process of its own: for streams, encodings and the start of Python."""

    def of_slimpack(
        *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = start(arguments, cwd, variables(cache_dir, env))
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done

    return of_slimpack


@pytest.fixture
def mini(tmp_path: Path) -> MiniChannel:
    """A channel of one's own for small packages made in the test."""
    return MiniChannel(tmp_path / "channel")


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Path]:
    """Solve and install packages of a mini channel; the engine's cache is the test's own."""

    def call(mini: MiniChannel, *specs: str, prefix: Path | None = None) -> Path:
        engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
        lock = engine.solve(mini.spec(*specs), "linux-64", GLIBC)
        target = prefix or tmp_path / "prefix"
        engine.install(lock, target)
        return target

    return call


@pytest.fixture
def prefixed(mini: MiniChannel) -> MiniChannel:
    """A channel whose package ``prefixed`` has its prefix in every place that metadata lists."""
    mini.add(
        "prefixed",
        {
            "lib/data.bin": f"\0{PLACEHOLDER}/lib:{PLACEHOLDER}/share\0tail\0",
            "share/config.txt": f"root = {PLACEHOLDER}/share\n",
            "bin/tool": Executable(f"#!{PLACEHOLDER}/bin/python3.11 -s\nprint(1)\n"),
            "bin/link": Symlink("tool"),
            "bin/from-env": Executable("#!/usr/bin/env tool\n"),
            "lib/plain.txt": "nothing here\n",
        },
    )
    return mini


PROBES = ("activation-probe", "prefix-probe", "prefix-text")


@pytest.fixture(scope="session")
def python_prefix(
    channel: str, engine: RattlerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An installed environment: Python, entry points, prefixes in text and binary, activation.

    Nobody may write to it: tests that change an environment copy it first.
    """
    spec = EnvSpec("t", (channel,), ("python 3.11.*", "click", "uvicorn", *PROBES))

    def make(folder: Path) -> None:
        engine.install(engine.solve(spec, "linux-64", GLIBC), folder / "env")

    return once(run_folder(tmp_path_factory) / "home", make) / "env"


@pytest.fixture(scope="session")
def python_image(channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A distroless image with little more than Python in it."""

    def make(folder: Path) -> None:
        spec = folder / "environment.yml"
        spec.write_text("dependencies: [python =3.11, click]\n")
        build(folder, folder, cache_dir, str(spec), "-c", channel)

    return read_built(once(run_folder(tmp_path_factory) / "python-image", make))
