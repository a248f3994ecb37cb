"""Results of ``slimpack verify --json``, read back from a file that is not trusted.

Format: `slimpack.verify.model.Verification.to_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MAX_RESULTS = 16 << 20
"""Bytes of JSON; a larger file is refused."""

_MAX_CHECKS = 1000


@dataclass(frozen=True)
class CheckFinding:
    """One thing that a check found. path: "" when it is about no file."""

    path: str
    severity: Severity
    message: str
    fix: str


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    passed: made, and found no error. skipped: why it was not made, "" if it was.
    ignored: its errors do not count.
    """

    name: str
    severity: Severity
    explanation: str
    passed: bool
    skipped: str
    ignored: bool
    findings: tuple[CheckFinding, ...]

    @property
    def state(self) -> str:
        """One word: "passed", "failed", "ignored" or "not made"."""
        if self.skipped:
            return "not made"
        if self.passed:
            return "passed"
        return "ignored" if self.ignored else "failed"


@dataclass(frozen=True)
class Checks:
    """All results, and what they are about: the name that ``slimpack verify`` was given."""

    subject: str
    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> int:
        """Number of checks that failed."""
        return sum(result.state == "failed" for result in self.results)


def parse_checks(data: bytes, what: str) -> Checks:
    """Read what ``slimpack verify --json`` printed; InputError, with `what`, for anything else."""
    try:
        if len(data) > MAX_RESULTS:
            raise ImageError(f"{what} has more than {MAX_RESULTS} bytes")
        value = jsontext.parse_object(data, what)
        if "checks" not in value:
            raise ImageError(f"{what} has no checks")
        items = jsontext.objects(value, "checks", what)
        if len(items) > _MAX_CHECKS:
            raise ImageError(f"{what} has more than {_MAX_CHECKS} checks")
        return Checks(
            subject=jsontext.text(value, "subject", what),
            results=tuple(_result(item, f"{what}, check {n}") for n, item in enumerate(items, 1)),
        )
    except ImageError as error:
        raise InputError(
            error.message, hint="give the file that `slimpack verify --json` wrote"
        ) from error


def _result(item: Mapping[str, Any], what: str) -> CheckResult:
    severity = _severity(item, what)
    name = jsontext.text(item, "name", what)
    if not name:
        raise ImageError(f"{what} has no name")
    findings = tuple(
        CheckFinding(
            path=jsontext.text(finding, "path", what),
            severity=_severity(finding, what) if "severity" in finding else severity,
            message=jsontext.text(finding, "message", what),
            fix=jsontext.text(finding, "fix", what),
        )
        for finding in jsontext.objects(item, "findings", what)
    )
    return CheckResult(
        name=name,
        severity=severity,
        explanation=jsontext.text(item, "explanation", what),
        passed=_flag(item, "passed", what),
        skipped=jsontext.text(item, "skipped", what),
        ignored="ignored" in item and _flag(item, "ignored", what),
        findings=findings,
    )


def _severity(item: Mapping[str, Any], what: str) -> Severity:
    found = jsontext.text(item, "severity", what)
    for severity in SEVERITIES:
        if found == severity:
            return severity
    raise ImageError(f"{what}: severity is {found[:20]!r}, not one of {', '.join(SEVERITIES)}")


def _flag(item: Mapping[str, Any], key: str, what: str) -> bool:
    found = item.get(key)
    if not isinstance(found, bool):
        raise ImageError(f"{what}: {key} is not true or false")
    return found
