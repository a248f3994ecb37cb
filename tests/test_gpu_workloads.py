"""G1 as a user builds it, on a machine without a GPU: everything but the GPU itself is checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.channel import ROOT, Run

SMOKE = """
[[verify.smoke]]
command = ["python", "selftest.py", "--no-gpu"]
"""


@pytest.mark.channel
@pytest.mark.parametrize("slimming", [("safe",), ("tight", "--gpu-arch", "sm_90")])
def test_cupy_finds_its_libraries_and_compiles_its_kernels(
    cuda_channel: str, run: Run, tmp_path: Path, slimming: tuple[str, ...]
) -> None:
    for name in ("g1", "checks"):
        shutil.copytree(ROOT / "benchmarks/workloads" / name, tmp_path / name)
    folder = tmp_path / "g1"
    with (folder / "slimpack.toml").open("a") as config:
        config.write(SMOKE)
    arguments = ("-c", cuda_channel, "--profile", *slimming, "--level", "1", "--json")
    done = run("build", *arguments, "-o", "g1.tar", cwd=folder)
    result = json.loads(done.stdout)
    checks = {check["name"]: check for check in result["verified"]["checks"]}
    for name in ("imports", "smoke", "elf-needed"):
        assert checks[name]["passed"], name
    assert not result["verified"]["errors"]
