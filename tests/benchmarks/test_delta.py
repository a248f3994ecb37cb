"""The benchmark of deltas, on two small releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import delta
from slimpack.oci.layout import write_layout
from tests.bundle.releases import LIBRARY, release


def test_two_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "WORK", tmp_path / "work")
    monkeypatch.setattr(delta, "RESULTS", tmp_path / "results")
    paths = []
    for version in (1, 2):
        paths.append(tmp_path / f"release{version}")
        write_layout(release(tmp_path, version), paths[-1])
    pair = delta.Pair()
    old, new = paths
    delta.carry(old, new, pair)
    assert pair.whole > pair.changed > LIBRARY > 10 * pair.sent
    assert pair.delta < pair.whole / 10
    delta.write({"a patch": pair})
    told = json.loads((tmp_path / "results/delta.json").read_text())
    assert told["pairs"]["a patch"]["sent"] == pair.sent
    assert set(told["pairs"]["a patch"]["runs"]) == set(delta.STEPS)
    text = (tmp_path / "results/delta.md").read_text()
    assert text.count("| a patch |") == 1 + len(delta.STEPS)
