"""Fixtures of all tests: the local channel, an engine with a cache of its own, the CLI.

A test that needs something this machine lacks is skipped with the reason, unless
SLIMPACK_REQUIRE_CHANNEL, _ENGINE, _NETWORK, _SHELLS or _PEERS says that it must be
there (CI does): then it fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.rattler.engine import RattlerEngine
from tests.support.channel import GLIBC, ROOT, MiniChannel, Run, missing


@pytest.fixture(scope="session")
def channel() -> str:
    """URL of the local channel with CPython and the demo's packages; built when needed."""
    return built_channel()


@pytest.fixture(scope="session")
def cuda_channel() -> str:
    """URL of the local channel with CUDA's smaller libraries and CuPy as well."""
    return built_channel("--group", "cuda")


def built_channel(*options: str) -> str:
    """Build the local channel and return its URL."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.channel", "build", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        missing("CHANNEL", f"the local channel cannot be built: {done.stderr.strip()[-500:]}")
    return (ROOT / "build" / "channel").as_uri()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slimpack cache for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def engine(cache_dir: Path) -> RattlerEngine:
    """The embedded engine on the session's cache."""
    return RattlerEngine(cache_dir / "pkgs", cache_dir / "repodata")


@pytest.fixture
def run(cache_dir: Path) -> Run:
    """Run ``python -m slimpack`` as a user would, in a folder, with the session's cache."""

    def call(
        *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "slimpack", *map(str, arguments)],
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SLIMPACK_CACHE_DIR": str(cache_dir),
                **(env or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done

    return call


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
    prefix = tmp_path_factory.mktemp("home") / "env"
    engine.install(engine.solve(spec, "linux-64", GLIBC), prefix)
    return prefix
