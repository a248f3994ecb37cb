"""What slimming took, as the record in the image tells it, for the packages that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimpack.errors import ImageError
from slimpack.inspection import Contents
from slimpack.sbom.model import Component, Properties
from slimpack.slim.record import MAX_RECORD, RECORD, Applied, SlimRecord, read_record

_PYPI = "pypi:"


def is_slimming(path: str) -> bool:
    """Tell whether a slimming record lies at `path`."""
    return path == RECORD or path.endswith(f"/{RECORD}")


def slimmings(contents: Contents) -> tuple[SlimRecord, ...]:
    """Return the slimming records of an image, one for each environment that was slimmed.

    Raises ImageError for a record that is malformed or too long.
    """
    found = []
    for path, data in contents.records.items():
        if is_slimming(path):
            if len(data) > MAX_RECORD:
                raise ImageError(
                    f"/{path} has {len(data)} bytes, more than the {MAX_RECORD} allowed"
                )
            found.append(read_record(data, f"/{path}"))
    return tuple(found)


def of_component(part: Component, records: Iterable[SlimRecord]) -> Properties:
    """Return what each rule took of a package: ``removed:RULE`` -> "N files, M bytes"."""
    owner = f"{_PYPI}{part.name}" if part.kind == "pypi" else part.name
    found: list[tuple[str, str]] = []
    for record in records:
        prefix = f"{record.prefix}/" if record.prefix else ""
        if part.kind == "debian" or not part.record.startswith(prefix):
            continue
        found += _sums(item for item in record.applied if item.owner == owner)
        if owner in record.packages:
            found.append(("removed", "all files but the record"))
    return tuple(sorted(found))


def of_image(records: Sequence[SlimRecord], components: Iterable[Component]) -> Properties:
    """Return what slimming did as a whole, rule by rule, and to packages without a component."""
    there = {
        f"{_PYPI}{part.name}" if part.kind == "pypi" else part.name
        for part in components
        if part.kind != "debian"
    }
    found: list[tuple[str, str]] = []
    for record in records:
        found.append(("slimming:profile", record.profile))
        found += [(f"slimming:{name}", text) for name, text in _sums(record.applied)]
        found += [
            (f"slimming:reason:{rule.name}", rule.reason) for rule in record.rules if rule.reason
        ]
        gone = sorted({item.owner for item in record.applied} - there - {""})
        found += [("slimming:removed-package", owner) for owner in gone]
    return tuple(sorted(set(found)))


def _sums(applied: Iterable[Applied]) -> list[tuple[str, str]]:
    sums: dict[str, tuple[int, int]] = {}
    for item in applied:
        files, size = sums.get(item.rule, (0, 0))
        sums[item.rule] = files + item.files, size + item.bytes
    return [
        (f"removed:{rule}", f"{files} files, {size} bytes")
        for rule, (files, size) in sorted(sums.items())
    ]
