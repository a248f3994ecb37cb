"""Runs that are killed at any moment: a name leads to the old image or the new one, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.setup.registry import docker_registry
from tests.oci.oci_images import need_tool
from tests.support.channel import ROOT

LAYOUT_KILLS, REGISTRY_KILLS = 150, 55  # a registry takes longer for each


def killed(target: str, folder: Path, kills: int) -> None:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.bundle.worker", target, str(folder), "1", str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    all_of_them, halfway = map(int, done.stdout.split())
    assert all_of_them >= kills
    assert halfway > 0


def test_a_layout(tmp_path: Path) -> None:
    killed("layout", tmp_path / "work", LAYOUT_KILLS)


def test_a_registry(tmp_path: Path) -> None:
    need_tool("docker-registry")
    with docker_registry(tmp_path / "registry") as host:
        killed(f"registry={host}", tmp_path / "work", REGISTRY_KILLS)
