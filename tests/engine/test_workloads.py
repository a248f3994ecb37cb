"""Small workloads of benchmarks/workloads as images: they run, answer, and test themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.catalogue import Workload, workloads
from benchmarks.running import docker, serving
from tests.support.images import Built, build

pytestmark = [pytest.mark.engine, pytest.mark.channel]

SMALL = {"w0": "tight", "w6": "safe"}
"""Workload -> profile; the demo's tests have Python with the other one."""


@pytest.fixture(scope="module", params=SMALL)
def workload(request: pytest.FixtureRequest) -> Workload:
    name: str = request.param
    return workloads((name,))[name]


@pytest.fixture(scope="module")
def built(
    workload: Workload,
    docker_engine: None,
    channel: str,
    cache_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Built]:
    folder, profile = tmp_path_factory.mktemp(workload.name), SMALL[workload.name]
    arguments = ("-c", channel, "--profile", profile, "--load")
    made = build(folder, workload.folder, cache_dir, *arguments)
    yield made
    docker("image", "rm", "--force", made.tag)


def test_its_first_answer_is_the_good_one(workload: Workload, built: Built) -> None:
    with serving(built.tag) as server:
        answer, _ = server.first_answer(workload.request.path, workload.request.body)
        assert workload.request.is_answered_by(answer)
        assert server.get("/health")["status"] == "ok"


def test_its_self_test_passes(workload: Workload, built: Built) -> None:
    program, *arguments = workload.self_test
    options = ("--rm", "--read-only", "--tmpfs", "/tmp", "--pull", "never")
    docker("run", *options, "--entrypoint", program, built.tag, *arguments)


def test_the_proof_leaves_out_what_has_no_meaning_without_python(
    workload: Workload, built: Built
) -> None:
    verified = built.result["verified"]
    made = {check["name"]: check["passed"] for check in verified["checks"] if not check["skipped"]}
    assert not verified["errors"]
    assert ("imports" in made) == ("bytecode" in made) == bool(workload.modules)
    assert made["elf-needed"]
    assert made["entrypoint"]
    # A web server without Python tests its own configuration.
    assert made.get("smoke", False) == (not workload.modules)
