"""Checks and what they find, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from slimpack.verify.context import Context
    from slimpack.verify.subject import Subject

Severity = Literal["error", "warning", "info"]


class SkippedError(Exception):
    """Raised by a check that cannot be made of this subject; the text says why."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    path: in the subject (``opt/env/bin/tool``), "" when it is about no file.
    package: that the file belongs to, "" for none.
    severity: instead of the check's own. fix: instead of the check's own.
    """

    path: str
    message: str
    package: str = ""
    severity: Severity | None = None
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """Something that must hold.

    name: in kebab-case. explanation: why it matters. fix: what to do about findings.
    runs: it starts programs of the subject, so it needs a sandbox.
    run: yields findings; SkippedError for a subject that it does not apply to.
    """

    name: str
    severity: Severity
    explanation: str
    fix: str
    run: Callable[[Subject, Context], Iterable[Finding]]
    runs: bool = False


@dataclass(frozen=True)
class Result:
    """What came of one check.

    passed: made, and no finding is an error. skipped: why it was not made, "" if it was.
    ignored: the user has said that its findings do not count.
    """

    name: str
    severity: Severity
    explanation: str
    fix: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    ignored: bool = False
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Number of findings that are errors, whether ignored or not."""
        return sum(self.severity_of(finding) == "error" for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether it was made and found no error."""
        return not self.skipped and not self.errors

    @property
    def fails(self) -> bool:
        """Whether this alone makes the subject fail."""
        return bool(self.errors) and not self.ignored

    def severity_of(self, finding: Finding) -> Severity:
        """Return how bad a finding of this check is."""
        return finding.severity or self.severity

    def to_json(self) -> dict[str, object]:
        """Return it as plain data, each finding with its severity and fix."""
        return {
            "name": self.name,
            "severity": self.severity,
            "explanation": self.explanation,
            "fix": self.fix,
            "passed": self.passed,
            "skipped": self.skipped,
            "ignored": self.ignored,
            "seconds": round(self.seconds, 3),
            "findings": [
                {
                    "path": finding.path,
                    "package": finding.package,
                    "severity": self.severity_of(finding),
                    "message": finding.message,
                    "fix": finding.fix or self.fix,
                }
                for finding in self.findings
            ],
        }


@dataclass(frozen=True)
class Verification:
    """What came of all checks, in their order.

    subject: what was verified. kind: "image", "prefix" or "archive".
    sandbox: how programs were run, "" when none was.
    kept: what an earlier build had proven, for people; "" for nothing.
    """

    subject: str
    kind: str
    platform: str
    sandbox: str
    results: tuple[Result, ...]
    seconds: float = 0.0
    kept: str = ""

    @property
    def passed(self) -> bool:
        """Whether no check fails."""
        return not self.failed

    @property
    def failed(self) -> tuple[Result, ...]:
        """The checks that fail."""
        return tuple(result for result in self.results if result.fails)

    def counts(self) -> dict[Severity, int]:
        """Return how many findings there are of each severity; ignored checks do not count."""
        counted = Counter(
            result.severity_of(finding)
            for result in self.results
            if not result.ignored
            for finding in result.findings
        )
        return {"error": counted["error"], "warning": counted["warning"], "info": counted["info"]}

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "subject": self.subject,
            "kind": self.kind,
            "platform": self.platform,
            "sandbox": self.sandbox,
            "passed": self.passed,
            "kept": self.kept,
            "seconds": round(self.seconds, 3),
            "errors": self.counts()["error"],
            "warnings": self.counts()["warning"],
            "checks": [result.to_json() for result in self.results],
        }
