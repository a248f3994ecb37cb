"""Rules on real packages: what they take, and that the packages still do their work.

The packages' own interfaces are used broadly (benchmarks/workloads/checks); the build
itself imports every module that is left.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.channel import ROOT, Run

SMOKE = "import sys, checks; from checks import arrays, learning, science; "
SMOKE += "sys.exit(checks.run(arrays, science, learning))"
# Rule -> the least that it takes, in bytes, of Python, NumPy, SciPy and scikit-learn.
TAKEN = {
    "safe": {
        "package-tests": 40_000_000,
        "extension-sources": 1_000_000,
        "headers": 1_000_000,
        "python-tests": 100_000,
        "test-modules": 100_000,
        "build-files": 10_000,
        "static-libraries": 10_000,
        "libpython": 5_000_000,
        "symbols": 1_000_000,
        "terminals": 1_000,
    },
    "tight": {
        "bytecode-only": 20_000_000,
        "ensurepip": 1_000_000,
        "numpy-build": 100_000,
        "scipy-precompute": 10_000,
        "type-stubs": 500_000,
        "pydoc": 500_000,
        "2to3": 100_000,
        "idle": 100_000,
    },
}


@pytest.mark.channel
@pytest.mark.parametrize("profile", ["safe", "tight"])
def test_scikit_learn_after_slimming(
    channel: str, cache_dir: Path, run: Run, tmp_path: Path, profile: str
) -> None:
    shutil.copytree(ROOT / "benchmarks/workloads/checks", tmp_path / "checks")
    (tmp_path / "slimpack.toml").write_text(
        f"""
        [env]
        specs = ["python 3.11.*", "scikit-learn"]
        channels = ["{channel}"]
        [image]
        workdir = "/app"
        [[app.copy]]
        from = "checks"
        to = "/app/checks"
        [[verify.smoke]]
        command = ["python", "-c", "{SMOKE}"]
        """
    )
    done = run("build", "--profile", profile, "-o", "out.tar", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    taken = {rule: size for rule, _, size in result["slimmed"]["rules"]}
    for rule, least in {**TAKEN["safe"], **TAKEN[profile]}.items():
        assert taken.get(rule, 0) >= least, rule
    checks = {check["name"]: check for check in result["verified"]["checks"]}
    for name in ("imports", "smoke", "elf-needed", "bytecode", "records"):
        assert checks[name]["passed"], name
    assert not result["verified"]["errors"]
