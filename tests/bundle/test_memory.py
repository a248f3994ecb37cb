"""Memory does not depend on the size of a bundle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.running import Measured, measure
from benchmarks.setup.registry import docker_registry
from tests.bundle.big import SIZES
from tests.oci.oci_images import need_tool
from tests.support.channel import ROOT

MOST = 200_000_000
assert sum(SIZES) > 3 * MOST


def program(module: str, *arguments: object, folder: Path) -> Measured:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return measure([sys.executable, "-m", module, *map(str, arguments)], cwd=folder, env=env)


def test_a_bundle_is_written_and_applied_in_little_memory(tmp_path: Path) -> None:
    need_tool("docker-registry")
    assert program("tests.bundle.big", tmp_path, folder=tmp_path).memory < MOST
    apply = ("bundle", "apply", "big.tar", "--to")
    assert program("slimpack", *apply, "layout=out", folder=tmp_path).memory < MOST
    with docker_registry(tmp_path / "registry") as host:
        to = f"registry={host}"
        assert program("slimpack", *apply, to, folder=tmp_path).memory < MOST
