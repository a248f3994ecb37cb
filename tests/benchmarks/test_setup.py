"""Setting up for the tests: what will be missing is told beforehand."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from benchmarks.setup import __main__ as setup


@pytest.mark.parametrize(("free", "is_told"), [(3 * 10**9, True), (300 * 10**9, False)])
def test_a_disk_that_will_be_full_is_told_of(
    free: int, is_told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    setup.tell_where_the_disk_is_full()
    said = capsys.readouterr().err
    assert ("3 GB are free, and all tests take up to 20 GB" in said) == is_told
    assert bool(said) == is_told
