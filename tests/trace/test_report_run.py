"""`slimpack report --run`: the same image that traces are made of, verified and started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.oci.layout import write_layout
from slimpack.sandbox.model import Sandbox
from tests.support.channel import Run
from tests.trace.conftest import Pictured


@pytest.mark.channel
def test_the_report_starts_what_it_tells_of(
    pictured: Pictured, any_sandbox: Sandbox, tmp_path: Path, run: Run
) -> None:
    write_layout(pictured.image, tmp_path / "image", ())
    done = run("report", "image", "--run", "--seconds", "10", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    results = {result["name"]: result for result in report["checks"]["results"]}
    assert results["entrypoint"]["passed"]
    assert results["imports"]["passed"]
    assert not results["imports"]["skipped"]
    imported = {item["module"] for item in report["start_up"]["imports"]}
    assert {"site", "http.server"} <= imported
