"""What is made of micromamba's output; the recordings are real."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.env.micromamba.output import errors, failure, read_plan, solver_problems
from slimpack.errors import InputError, InstallError, SlimpackError
from tests.support.micromamba import recording

RECORD: dict[str, Any] = {
    "name": "b",
    "version": "2.0",
    "build_string": "0",
    "subdir": "noarch",
    "url": "file:///c/noarch/b-2.0-0.conda",
}


def plan(*records: Any, action: str = "LINK") -> str:
    return json.dumps({"actions": {action: list(records)}, "success": True})


def test_a_recorded_plan() -> None:
    records = read_plan(recording("create-dry-run-json-from-yaml")["stdout"])
    assert len(records) == 24
    assert [record["name"] for record in records] == sorted(record["name"] for record in records)
    click = next(record for record in records if record["name"] == "click")
    assert (click["noarch"], click["build"], click["timestamp"]) == (
        *("python", "pyhd8ed1ab_0"),
        1750000000,
    )
    assert click["depends"] == ["python >=3.10"]


def test_a_warm_cache_gives_the_same_plan_without_fetch() -> None:
    warm = recording("create-json-warm-cache")["stdout"]
    assert "FETCH" not in warm
    cold = read_plan(recording("create-dry-run-json-from-yaml")["stdout"])
    assert read_plan(warm) == cold


def test_fetch_and_link_are_one_list_and_what_either_knows_counts() -> None:
    both = {
        "FETCH": [{**RECORD, "sha256": "a" * 64, "license": "MIT"}],
        "LINK": [{**RECORD, "license": ""}],
    }
    for text in (
        json.dumps({"actions": both}),
        json.dumps({"actions": dict([*both.items()][::-1])}),
    ):
        (record,) = read_plan(text)
        assert (record["sha256"], record["license"]) == ("a" * 64, "MIT")
    assert len(read_plan(recording("create-from-explicit-dry-run-json")["stdout"])) == 24


def test_keys_with_nothing_in_them_may_be_left_out_or_be_empty() -> None:
    (bare,) = read_plan(plan(RECORD))
    (full,) = read_plan(
        plan({**RECORD, "depends": [], "license": None, "size": 0, "noarch": "", "sha256": ""})
    )
    assert bare == full
    assert (bare["build"], bare["timestamp"], bare["track_features"]) == ("0", 0, [])
    assert read_plan(plan(RECORD, action="FETCH")) == (bare,)
    (featured,) = read_plan(plan({**RECORD, "track_features": "mkl, x"}))
    assert featured["track_features"] == ["mkl", "x"]


@pytest.mark.parametrize(
    "name", ["create-from-conda-lock-dry-run-json", "create-from-conda-lock-other-name"]
)
def test_recorded_plans_without_packages_are_empty(name: str) -> None:
    assert read_plan(recording(name)["stdout"]) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, "no 'name'"),
        ({"name": "../b"}, "'name' is '../b'"),
        ({"version": 2}, "'version' is '2'"),
        ({"url": "b-2.0-0.conda"}, "'url' is"),
        ({"url": "file:///c/noarch/b-2.0-0.conda\nx"}, "'url' is"),
        ({"url": "file:///c/linux-64/b-2.0-0.conda"}, "'url' and 'subdir' differ"),
        ({"sha256": "xyz"}, "'sha256' is 'xyz'"),
        ({"md5": "A" * 32}, "'md5' is"),
        ({"depends": "python"}, "'depends' is"),
        ({"depends": [1]}, "'depends' is"),
        ({"size": -1}, "'size' is"),
        ({"size": 2**80}, "'size' is"),
        ({"build_number": True}, "'build_number' is"),
        ({"timestamp": 1e99}, "'timestamp' is"),
        ({"timestamp": 10**18}, "'timestamp' is"),
        ({"noarch": "java"}, "'noarch' is"),
    ],
)
def test_a_record_that_is_none(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SlimpackError, match=f"plan cannot be read: .*{expected}"):
        read_plan(plan({**RECORD, **changes}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 100_000, "9" * 5000, '{"actions": []}'),
        *('{"actions": {"LINK": {}}}', '{"actions": {"LINK": [3]}}'),
    ],
)
def test_text_that_is_no_plan(text: str) -> None:
    with pytest.raises(SlimpackError, match="plan cannot be read"):
        read_plan(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@given(record=st.dictionaries(st.sampled_from([*RECORD, "sha256", "depends", "size"]), JSON))
def test_any_record_is_read_or_refused(record: dict[str, Any]) -> None:
    try:
        records = read_plan(plan({**RECORD, **record}))
    except SlimpackError:
        return
    assert records[0]["url"].endswith((".conda", ".tar.bz2"))
    assert isinstance(records[0]["version"], str)


@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for text in (json.dumps(value), json.dumps({"actions": value}), json.dumps({"x": value})):
        try:
            read_plan(text)
        except SlimpackError as error:
            assert "plan cannot be read" in error.message


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    solver_problems(text)
    errors(text)
    try:
        read_plan(text)
    except SlimpackError as error:
        assert error.hint


def test_solver_problems() -> None:
    assert solver_problems(recording("unsolvable-json")["stdout"]) == ("unsupported request",)
    assert solver_problems(recording("missing-channel-json")["stdout"]) is None
    assert solver_problems(recording("create-dry-run-json-from-yaml")["stdout"]) is None


def test_messages_without_their_prefixes() -> None:
    assert errors(recording("unsolvable-text")["stderr"]).splitlines() == [
        "Could not solve for environment specs",
        "    The following package could not be installed",
        "    └─ numpy =0.1 * does not exist (perhaps a typo or a missing channel).",
    ]
    wrong = errors(recording("create-from-explicit-wrong-md5")["stderr"])
    assert wrong.startswith("File not valid: MD5 doesn't match expectation")
    assert "Extracted package cache" not in wrong  # a warning
    assert errors("\x1b[31merror    libmamba red\x1b[0m\n") == "red"
    assert errors("Segmentation fault\n") == "Segmentation fault"
    assert len(errors("x" * 100_000)) < 5000


def test_failures_by_their_cause() -> None:
    missing = failure(recording("missing-channel-json")["stderr"], 1, "e.yml")
    assert isinstance(missing, InstallError)
    spec = 'critical libmamba Error parsing MatchSpec "a >>> 1": Found invalid version predicate"\n'
    assert isinstance(failure(spec, 1, "e.yml"), InputError)
    other = failure("Killed\n", -9, "e.yml")
    assert (type(other), other.details) == (SlimpackError, "Killed")
    assert "exit code -9" in other.message
