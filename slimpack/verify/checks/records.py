"""What the records of packages say is what there is."""

from __future__ import annotations

from collections.abc import Iterator

from slimpack.tree import Kind
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding
from slimpack.verify.packages import Package
from slimpack.verify.subject import Subject

_MOST = 20  # findings of one package; the rest is counted


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    for path, why in subject.records.problems:
        yield Finding(path, f"cannot be read: {why}")
    claims = _claims(subject)
    gone = set(subject.record.packages) if subject.record else set()
    digests: dict[str, str] = {}
    for package in subject.records.packages:
        if package.kind == "debian":
            continue  # a base's documentation is left out on purpose
        found = list(_package(subject, package, claims, digests, package.name in gone))
        yield from found[:_MOST]
        if len(found) > _MOST:
            yield Finding(
                package.record, f"{len(found) - _MOST} more files are not as listed", package.name
            )


def _claims(subject: Subject) -> dict[str, set[str]]:
    """Return path -> every digest that a package says it has; one of them must be right."""
    claims: dict[str, set[str]] = {}
    for package in subject.records.packages:
        for file in package.files:
            if file.sha256:
                claims.setdefault(file.path, set()).add(file.sha256)
    return claims


def _package(
    subject: Subject,
    package: Package,
    claims: dict[str, set[str]],
    digests: dict[str, str],
    slimmed: bool,
) -> Iterator[Finding]:
    for file in package.files:
        entry = subject.tree.get(file.path)
        if entry is None and file.path.endswith(".pyc"):
            continue  # made by installers, and not always where they say
        if entry is None:
            by_whom = ", and slimming has removed the package" if slimmed else ""
            yield Finding(
                file.path,
                f"{subject.shown(package.record)} lists it, but it is not there{by_whom}",
                package.name,
            )
        elif file.sha256 and entry.kind is Kind.FILE and entry.path not in subject.known:
            if entry.path not in digests:
                digests[entry.path] = entry.sha256()
            if digests[entry.path] not in claims[entry.path]:
                yield Finding(
                    file.path,
                    f"is not what {subject.shown(package.record)} says (SHA-256)",
                    package.name,
                )


CHECK = Check(
    name="records",
    severity="error",
    explanation="Scanners, SBOM tools and pip believe what conda-meta and RECORD say; a file that "
    "is missing or changed without a word was damaged, or removed by something else than slimming.",
    fix="install the package again, or remove files with [slim] drop, which keeps the records true",
    run=_run,
)
