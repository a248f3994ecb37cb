"""The licence of every package is named, and its text is there where the package brought it."""

from __future__ import annotations

from collections.abc import Iterator

from slimpack.tree import Entry, parents
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding
from slimpack.verify.packages import Package, licences_of
from slimpack.verify.subject import Subject

_DIST = ".dist-info/METADATA"


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    there = {entry.path for entry in subject.tree}
    for package in subject.records.packages:
        if package.kind == "debian":
            yield from _debian(subject, package)
            continue
        if not package.license and not _brought(package):
            yield Finding(
                package.record,
                "names no licence",
                package.name,
                severity="warning",
                fix="ask its authors, or note the licence where you keep your own",
            )
    for entry in subject.asked:
        if entry.path.endswith(_DIST) and entry.path not in subject.below:
            yield from _dist(subject, entry, there)


def _debian(subject: Subject, package: Package) -> Iterator[Finding]:
    (path,) = package.license_files
    # A package may share the documentation of another, by a link of its folder.
    if subject.lookup.find(f"/{path}") is None:
        yield Finding(path, "the package's copyright file is not there", package.name)


def _dist(subject: Subject, entry: Entry, there: set[str]) -> Iterator[Finding]:
    """Yield the licence files of a METADATA that are gone (PEP 639, and setuptools before it)."""
    folder = parents(entry.path)[-1]
    try:
        _, names = licences_of(entry)
    except ValueError:
        return  # the check of records tells
    for name in names:
        places = [f"{folder}/licenses/{name}", f"{folder}/{name}", f"{folder}/license_files/{name}"]
        if not any(place in there for place in places):
            yield Finding(
                f"{folder}/{name}",
                "METADATA lists it as a licence, but it is not there",
                subject.owner(entry.path),
            )


def _brought(package: Package) -> bool:
    return any("license" in file.path.lower() or "copying" in file.path.lower()
               for file in package.files)  # fmt: skip


CHECK = Check(
    name="licences",
    severity="error",
    explanation="Nearly every licence asks that its text goes along with each copy of the program.",
    fix="keep the file: list it under [slim] keep",
    run=_run,
)
