"""Rules on real big packages: what each takes, and that the packages still do their work.

An environment is packed into a folder, in seconds where an image takes minutes.
`slimpack verify` then imports every module of it, and its own Python runs the self-tests of
benchmarks/workloads/checks.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channel.container import read_info
from slimpack.globs import matcher
from slimpack.slim.record import RECORD, read_record
from slimpack.slim.ruleset import Rule, shipped_rules
from tests.slim.test_real_packages import TAKEN as OF_SCIENCE
from tests.support.channel import ROOT, Run

WORKLOADS = ROOT / "benchmarks/workloads"
SITE = "lib/python3.11/site-packages"


@dataclass(frozen=True)
class Environment:
    """Packages that are tried together.

    checks: modules of benchmarks/workloads/checks. safe, tight: (rule, package) -> the least
    that the rule takes of the package, in bytes; what `safe` takes, `tight` takes as well.
    """

    specs: tuple[str, ...]
    checks: tuple[str, ...]
    safe: Mapping[tuple[str, str], int]
    tight: Mapping[tuple[str, str], int]

    def taken(self, profile: str) -> dict[tuple[str, str], int]:
        return {**self.safe, **(self.tight if profile == "tight" else {})}


ENVIRONMENTS = {
    "tables": Environment(
        specs=("pandas", "pyarrow"),
        checks=("tables", "columns"),
        safe={
            ("package-tests", "pandas"): 10_000_000,
            ("package-tests", "pyarrow"): 1_500_000,
            ("headers", "pyarrow"): 4_000_000,
            ("extension-sources", "pyarrow"): 1_000_000,
            ("symbols", "pyarrow"): 20_000_000,
        },
        tight={
            ("pyarrow-development", "pyarrow"): 4_000_000,
            ("bytecode-only", "pandas"): 6_000_000,
            ("tzdata-of-pypi", "python-tzdata"): 400_000,
        },
    ),
    "models": Environment(
        specs=(
            *("py-xgboost", "lightgbm", "onnxruntime", "py-opencv", "matplotlib-base"),
            *("joblib", "tornado", "pycryptodome", "pycryptodomex", "pip"),
        ),
        checks=("boosting", "inference", "pictures"),
        safe={
            ("onnxruntime-library", "onnxruntime"): 25_000_000,
            ("symbols", "py-xgboost"): 2_000_000,
            ("symbols", "py-opencv"): 1_000_000,
            ("package-tests", "matplotlib-base"): 1_500_000,
            ("package-tests", "joblib"): 100_000,
            ("package-tests", "tornado"): 500_000,
            ("package-tests", "pycryptodome"): 1_000_000,
            ("package-tests", "pycryptodomex"): 1_000_000,
        },
        tight={
            ("onnxruntime-tools", "onnxruntime"): 2_500_000,
            ("xgboost-testing", "py-xgboost"): 150_000,
            ("matplotlib-samples", "matplotlib-base"): 400_000,
            ("bytecode-only", "lightgbm"): 300_000,
            ("bytecode-only", "py-opencv"): 1_000,
            ("installers", "pip"): 3_000_000,
        },
    ),
    "torch": Environment(
        specs=("pytorch", "transformers"),
        checks=("tensors", "tokens", "language"),
        safe={
            ("package-tests", "pytorch"): 50_000_000,
            ("headers", "pytorch"): 25_000_000,
            ("symbols", "pytorch"): 60_000_000,
            ("torch-protoc", "pytorch"): 7_000_000,
            ("torch-test-support", "pytorch"): 1_000_000,
            ("package-tests", "sympy"): 5_000_000,
        },
        tight={
            ("torch-tools", "pytorch"): 20_000_000,
            ("torch-testing", "pytorch"): 100_000,
            ("transformers-sources", "transformers"): 6_000_000,
        },
    ),
    "tensorflow": Environment(
        specs=("tensorflow",),
        checks=("graphs",),
        safe={
            ("headers", "tensorflow"): 180_000_000,
            ("symbols", "tensorflow"): 150_000_000,
        },
        tight={
            ("libclang", "python-clang"): 50_000_000,
            ("tensorflow-stablehlo", "tensorflow"): 15_000_000,
            ("tensorflow-tools", "tensorflow"): 150_000,
            ("installers", "setuptools"): 2_000_000,
        },
    ),
}
# Rules for packages that are not tried here -> where they are.
ELSEWHERE = {
    "build-tools": "test_ruleset.py",
    "development-packages": "test_ruleset.py",
    "tk": "test_ruleset.py",
    **dict.fromkeys(
        (
            *("cuda-development", "cuda-stubs", "cuda-samples", "cuda-libraries"),
            *("cuda-nvcc", "cuda-nvvm", "cuda-tools", "triton-profiler"),
        ),
        "test_cuda_rules.py",
    ),
}
# Paths that only other versions of a package have.
OTHER_VERSIONS = {
    "lib/python*/site-packages/numpy/core/_simd.*.so",  # NumPy 1
}
CHECKS = ("imports", "elf-needed", "bytecode", "records", "licences", "secrets")
START = """
import sys
sys.path[:0] = sys.argv[1:3]
import checks, importlib
sys.exit(checks.run(*(importlib.import_module(f"checks.{name}") for name in sys.argv[3:])))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path: prefixes have 80 characters, and tests' folders are deep."""
    with tempfile.TemporaryDirectory(prefix="slimpack-heavy-") as name:
        yield Path(name)


@pytest.mark.channel
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_rules_take_what_they_should_and_packages_do_their_work(
    heavy_channel: str, run_process: Run, home: Path, name: str
) -> None:
    def slimmed(profile: str) -> None:
        folder = home / profile
        folder.mkdir()
        (folder / "slimpack.toml").write_text(
            f"[env]\nspecs = {json.dumps(['python 3.11.*', *ENVIRONMENTS[name].specs])}\n"
            f'channels = ["{heavy_channel}"]\nglibc = "2.36"\n[slim]\nprofile = "{profile}"\n'
        )
        try:
            try_out(ENVIRONMENTS[name], profile, folder, run_process)
        finally:
            # Up to 2 GB, which pytest would keep.
            shutil.rmtree(folder / "env", ignore_errors=True)

    # Most of it runs in one thread.
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(slimmed, profile) for profile in ("safe", "tight")]:
            done.result()


def try_out(tried: Environment, profile: str, folder: Path, run: Run) -> None:
    """Pack, verify and use an environment after a profile; its configuration is in `folder`."""
    place = folder / "env"
    run("pack", "-o", f"{place}/", "--dest-prefix", place, "--quiet", cwd=folder)
    taken = taken_by_package(place)
    wanted = tried.taken(profile)
    assert not {rule: taken[rule] for rule, least in wanted.items() if taken[rule] < least}, profile
    verified = json.loads(run("verify", place, "--json", cwd=folder).stdout)
    passed = {check["name"]: check["passed"] for check in verified["checks"]}
    assert all(passed[check] for check in CHECKS), (profile, verified["errors"])
    self_test(place, folder, tried.checks)


def taken_by_package(prefix: Path) -> Counter[tuple[str, str]]:
    """(rule, package) -> bytes."""
    record = read_record((prefix / RECORD).read_bytes(), RECORD)
    taken: Counter[tuple[str, str]] = Counter()
    for item in record.applied:
        taken[item.rule, item.owner] += item.bytes
    return taken


def self_test(prefix: Path, home: Path, checks: tuple[str, ...]) -> None:
    """Run modules of benchmarks/workloads/checks with the Python of an environment."""
    done = subprocess.run(
        [prefix / "bin/python", "-B", "-c", START, WORKLOADS, WORKLOADS / "w2/app", *checks],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A pattern that means the files of one package.
ONE = re.compile(r"(?!!).*site-packages/\w+(?:/|\Z)")


def names_packages(rule: Rule) -> bool:
    return bool(rule.packages) or any(map(ONE.match, rule.paths))


def test_every_rule_for_a_package_is_tried() -> None:
    """Who adds such a rule says above what it takes of the real package."""
    tried = {rule for one in ENVIRONMENTS.values() for rule, _ in one.taken("tight")}
    tried |= {rule for rules in OF_SCIENCE.values() for rule in rules}
    for rule, test in ELSEWHERE.items():
        text = Path(__file__).with_name(test).read_text("utf-8")
        assert f'"{rule}"' in text, f"{test} does not try the rule {rule}"
    named = {rule.name for rule in shipped_rules().rules if names_packages(rule)}
    assert not named - tried - set(ELSEWHERE)


@pytest.mark.channel
def test_every_path_of_a_package_is_there(heavy_channel: str) -> None:
    """A pattern that means nothing any more is noticed when its package changes."""
    files = packaged_files(Path(heavy_channel.removeprefix("file://")))
    missed = set()
    for rule in shipped_rules().resolved().rules:
        if names_packages(rule) and rule.name not in ELSEWHERE:
            theirs = [path for name in files if rule.concerns(name) for path in files[name]]
            patterns = (path for path in rule.paths if ONE.match(path) or path.startswith("bin/"))
            missed |= {one for one in patterns if not any(map(matcher([one]), theirs))}
    assert missed == OTHER_VERSIONS


def packaged_files(channel: Path) -> dict[str, list[str]]:
    """Package -> the paths of its files below a prefix."""
    found = {}
    for path in channel.glob("*/*.conda"):
        info = read_info(path)
        listed: list[dict[str, Any]] = json.loads(info["info/paths.json"])["paths"]
        name = json.loads(info["info/index.json"])["name"]
        found[name] = [
            re.sub(r"\Asite-packages/", f"{SITE}/", str(item["_path"])) for item in listed
        ]
    return found
