from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.report import checks
from slimpack.report.checks import parse_checks
from tests.report.samples import CHECKS


def test_results_are_read() -> None:
    found = parse_checks(json.dumps(CHECKS).encode(), "results.json")
    assert [result.state for result in found.results] == ["passed", "failed", "not made"]
    assert found.failed == 1
    assert found.results[1].findings[0].path == "opt/env/lib/x.py"


def test_what_verify_writes_is_what_is_read() -> None:
    from slimpack.verify.model import Finding, Result, Verification

    results = (
        Result("a", "error", "why", "do", (Finding("x", "bad"), Finding("", "y", severity="info"))),
        Result("b", "warning", "why", "do", ignored=True),
    )
    written = Verification("serve.tar", "image", "linux/amd64", "", results).to_json()
    found = parse_checks(json.dumps(written).encode(), "x")
    assert [result.state for result in found.results] == ["failed", "passed"]
    assert [finding.severity for finding in found.results[0].findings] == ["error", "info"]
    assert found.results[0].findings[0].fix == "do"


def damaged(*path: str | int, value: object) -> bytes:
    data: Any = copy.deepcopy(CHECKS)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "has no checks"),
        (b"[" * 100_000, "not valid JSON"),
        (damaged("checks", value={}), "not a list of objects"),
        (damaged("checks", value=[{}] * 1001), "more than 1000"),
        (damaged("checks", 0, "name", value=""), "check 1 has no name"),
        (damaged("checks", 1, "severity", value="fatal"), "check 2: severity is 'fatal'"),
        (damaged("checks", 0, "passed", value="yes"), "passed is not true or false"),
        (damaged("checks", 1, "findings", value=[1]), "findings is not a list"),
        (damaged("checks", 1, "findings", 0, "message", value=3), "message is not a string"),
    ],
)
def test_anything_else_is_refused_with_a_hint(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        parse_checks(data, "results.json")
    assert "slimpack verify --json" in error.value.hint


def test_a_huge_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_RESULTS", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        parse_checks(json.dumps(CHECKS).encode(), "results.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: (
        st.lists(below) | st.dictionaries(st.sampled_from(["name", "severity", "x"]), below)
    ),
)


@given(JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    with suppress(InputError):
        parse_checks(json.dumps({"checks": value}).encode(), "x")
