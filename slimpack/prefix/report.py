"""What is said of an examination: the error that names every file, and the notes."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from slimpack.env.meta import Installed
from slimpack.errors import InputError
from slimpack.prefix.examination import Finding, Verdict

_SHOWN = 20
# File systems and copies round times.
_SAME_SECONDS = 2.0


def refuse(
    prefix: Path,
    findings: Sequence[Finding],
    installed: Installed,
    there: Mapping[str, os.stat_result],
) -> None:
    """Raise InputError that lists what nobody explains, unless there is nothing."""
    unexplained = [finding for finding in findings if finding.verdict is Verdict.UNEXPLAINED]
    if not unexplained:
        return
    lines = list(_lines(prefix, unexplained, installed, there))
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    raise InputError(
        f"{prefix}: {_count(len(unexplained), 'difference')} from what the packages installed, "
        "and nothing explains it",
        details="\n".join(lines[:_SHOWN] + more),
        hint=_hint(unexplained),
    )


def _hint(unexplained: Sequence[Finding]) -> str:
    names = sorted({finding.package for finding in unexplained if finding.package})
    again = f"install {', '.join(names[:5])} again" if names else "remove what is in the way"
    glob = unexplained[0].path
    return (
        f"{again}, or accept what you meant to change by globs: "
        f'[env] accept_changes = ["{glob}"] in slimpack.toml, or --accept-changes "{glob}"'
    )


def _lines(
    prefix: Path,
    findings: Sequence[Finding],
    installed: Installed,
    there: Mapping[str, os.stat_result],
) -> Iterator[str]:
    """Yield a line for each finding, and one for a package of which no file is there."""
    deleted = Counter(finding.package for finding in findings if finding.what == "deleted")
    gone = set()
    for package in installed.packages:
        if package.files and deleted[package.name] == len(package.files):
            gone.add(package.name)
            yield f"  package {package.name} {package.version}: none of its files is there"
    written = {
        package.name: _time(prefix / "conda-meta" / f"{package.dist}.json")
        for package in installed.packages
    }
    for finding in findings:
        if finding.package not in gone or finding.what != "deleted":
            owner = f"package {finding.package}" if finding.package else "no package"
            known = _known(there.get(finding.path), written.get(finding.package, 0.0))
            yield f"  {finding.path} ({owner}): {finding.what}{known}"


def _known(status: os.stat_result | None, installed: float) -> str:
    if status is None:
        return ""
    text = f", {status.st_size} bytes"
    if installed and status.st_mtime > installed + _SAME_SECONDS:
        when = datetime.datetime.fromtimestamp(status.st_mtime, datetime.timezone.utc)
        text += f", written {when:%Y-%m-%d %H:%M} UTC, after it was installed"
    return text


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def summary(
    findings: Iterable[Finding], dropped: Iterable[str], left_out: Iterable[str]
) -> Iterator[str]:
    """Yield what a reader of the result should know, a line for each package and reason."""
    groups = Counter(
        (finding.package, finding.what, finding.verdict, finding.why) for finding in findings
    )
    gone = frozenset(dropped)
    for (package, what, verdict, why), number in sorted(
        groups.items(), key=lambda item: (item[0][0], item[0][1], item[0][3])
    ):
        whose = f" of package {package}" if package else ""
        reason = why if verdict is not Verdict.HARMLESS else f"harmless ({why})"
        yield f"{_count(number, 'file')}{whose} {what}: {reason}"
    for package in sorted(gone):
        yield f"nothing is left of package {package}; its record is left out"
    for folder in left_out:
        yield f"{folder}/ is no part of the environment and is left out"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
