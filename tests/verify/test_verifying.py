"""Checks together: what counts, what is skipped, what is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.config import SmokeTest, VerifyConfig
from slimpack.errors import ImageError, InputError, VerifyError
from slimpack.verify.checks import CHECKS
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.subject import Subject
from slimpack.verify.verifying import choose_checks, raise_if_failed, verify
from tests.verify.subjects import Mode, subject

ONE = Check("one", "error", "because", "mend it", lambda s, c: iter(()))


def finding_check(name: str, *found: Finding, runs: bool = False) -> Check:
    return replace(ONE, name=name, run=lambda s, c: iter(found), runs=runs)


@pytest.fixture
def on(tmp_path: Path) -> Subject:
    return subject(tmp_path, {"bin/x": Mode(0o755, "")}, kind="prefix")


def test_names_are_unique_and_all_is_explained() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names) == 16
    for check in CHECKS:
        assert check.name == check.name.lower()
        assert check.explanation.endswith((".", "'.", '".')), check.name
        assert check.fix


def test_an_error_fails_and_less_does_not(on: Subject) -> None:
    bad = finding_check("bad", Finding("bin/x", "broken", "pkg"), Finding("a", "b", "", "info"))
    worse = finding_check("worse", Finding("", "w", severity="warning"))
    done = verify(on, checks=[ONE, bad, worse])
    assert [result.passed for result in done.results] == [True, False, True]
    assert [result.name for result in done.failed] == ["bad"]
    assert done.counts() == {"error": 1, "warning": 1, "info": 1}
    with pytest.raises(VerifyError) as error:
        raise_if_failed(done)
    assert error.value.exit_code == 11
    assert "the check bad failed" in error.value.message
    assert error.value.details == "bad: bin/x: broken (pkg)"
    assert "mend it" in error.value.hint


def test_an_ignored_check_is_told_and_does_not_fail(on: Subject) -> None:
    bad = finding_check("bad", Finding("bin/x", "broken"))
    done = verify(on, VerifyConfig(ignore=("bad",)), checks=[bad])
    assert done.passed
    assert done.results[0].ignored
    assert done.results[0].errors == 1
    raise_if_failed(done)


def test_as_json(on: Subject) -> None:
    bad = finding_check("bad", Finding("bin/x", "broken", "pkg", fix="so"), Finding("y", "z"))
    data = json.loads(json.dumps(verify(on, checks=[ONE, bad]).to_json()))
    assert data["passed"] is False
    assert (data["kind"], data["errors"], data["warnings"]) == ("prefix", 2, 0)
    assert data["checks"][0]["findings"] == []
    assert data["checks"][1]["findings"][0] == {
        "path": "bin/x",
        "package": "pkg",
        "severity": "error",
        "message": "broken",
        "fix": "so",
    }
    assert data["checks"][1]["findings"][1]["fix"] == "mend it"
    assert set(data["checks"][1]) >= {"name", "severity", "explanation", "passed", "skipped"}


def test_a_check_that_does_not_apply(on: Subject) -> None:
    def run(subject: Subject, context: Context) -> Iterator[Finding]:
        raise SkippedError("not here")
        yield

    done = verify(on, checks=[replace(ONE, run=run)])
    assert (done.results[0].skipped, done.results[0].passed, done.passed) == (
        "not here", False, True,
    )  # fmt: skip


def test_a_check_that_meets_a_broken_subject(on: Subject) -> None:
    def run(subject: Subject, context: Context) -> Iterator[Finding]:
        yield Finding("a", "b")
        raise ImageError("malformed", hint="build again")

    (result,) = verify(on, checks=[replace(ONE, run=run)]).results
    assert [finding.message for finding in result.findings] == [
        "the check could not be made: malformed",
        "b",
    ]


def test_programs_run_beside_the_reading_of_files(on: Subject) -> None:
    met = threading.Barrier(2, timeout=30)

    def run(subject: Subject, context: Context) -> Iterator[Finding]:
        met.wait()
        return iter(())

    checks = [replace(ONE, run=run), replace(ONE, name="two", run=run, runs=True)]
    assert verify(on, checks=checks).passed
    assert not met.broken


def test_a_failure_of_ours_ends_the_programs(on: Subject) -> None:
    stopped = []

    def long(subject: Subject, context: Context) -> Iterator[Finding]:
        done = context.need_runner().run(["sleep", "600"], timeout=600)
        stopped.append(done.returncode)
        return iter(())

    def fails(subject: Subject, context: Context) -> Iterator[Finding]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        verify(on, checks=[replace(ONE, run=long, runs=True), replace(ONE, name="x", run=fails)])
    assert stopped
    assert stopped[0] != 0


def test_without_a_sandbox_programs_are_skipped_visibly(on: Subject) -> None:
    config = VerifyConfig(sandbox="none", smoke=(SmokeTest(("false",)),))
    done = verify(on, config, checks=choose_checks(["smoke", "modes"], []))
    assert [result.skipped for result in done.results] == [
        "", "nothing is run (--sandbox none)",
    ]  # fmt: skip
    assert done.sandbox == ""
    assert not verify(
        on, replace(config, sandbox="host"), checks=choose_checks(["smoke"], [])
    ).passed


def test_another_machine_s_image_is_not_run(on: Subject) -> None:
    other = replace(on, platform="linux/riscv64")
    config = VerifyConfig(smoke=(SmokeTest(("false",)),))
    (result,) = verify(other, config, checks=choose_checks(["smoke"], [])).results
    assert "does not run linux/riscv64" in result.skipped


def test_an_image_that_nobody_here_runs_names_the_emulator(
    on: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    other = replace(on, kind="image", platform="linux/arm64")
    config = VerifyConfig(smoke=(SmokeTest(("false",)),))
    for sandbox in ("auto", "unshare"):
        wanted = replace(config, sandbox=sandbox)
        (result,) = verify(other, wanted, checks=choose_checks(["smoke"], [])).results
        assert result.skipped.startswith("this machine does not run linux/arm64: install QEMU")
        assert "qemu-user-static" in result.skipped


def test_an_environment_for_another_machine_has_no_c_library_here(on: Subject) -> None:
    other = replace(on, platform="linux/riscv64")
    done = verify(other, checks=choose_checks(["elf-needed", "symbol-versions"], []))
    for result in done.results:
        assert result.skipped == "the C library is that of a machine for linux/riscv64"


def test_an_environment_runs_on_this_machine(on: Subject) -> None:
    config = VerifyConfig(smoke=(SmokeTest(("true",)),))
    done = verify(on, config, checks=choose_checks(["smoke"], []))
    assert done.sandbox == "host"
    assert done.passed


def test_an_unknown_sandbox_or_check(on: Subject) -> None:
    with pytest.raises(InputError, match="no sandbox 'gvisor'"):
        verify(on, VerifyConfig(sandbox="gvisor"))
    with pytest.raises(InputError) as error:
        choose_checks(["bytecod"], [])
    assert "did you mean 'bytecode'?" in error.value.hint


def test_choosing_checks() -> None:
    assert choose_checks([], []) == CHECKS
    assert [check.name for check in choose_checks(["modes", "smoke"], ["smoke"])] == ["modes"]
    assert len(choose_checks([], ["smoke"])) == len(CHECKS) - 1
