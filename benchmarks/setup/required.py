"""A pytest plugin for CI: what is marked as needing something must not be skipped there.

``pytest -p benchmarks.setup.required`` with SLIMPACK_REQUIRE_ENGINE=1 fails each
test marked ``engine`` that would be skipped; CHANNEL, NETWORK and SANDBOX
likewise.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

MARKERS = ("channel", "engine", "network", "sandbox")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where its reason is not allowed."""
    report = yield
    required = [
        f"SLIMPACK_REQUIRE_{name.upper()}"
        for name in MARKERS
        if item.get_closest_marker(name)
        and os.environ.get(f"SLIMPACK_REQUIRE_{name.upper()}") == "1"
    ]
    # An expected failure is reported as skipped too.
    if report.skipped and required and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{', '.join(required)} is set, but: {reason}"
    return report
