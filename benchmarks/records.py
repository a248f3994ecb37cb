"""What benchmarks measure, in one form: records, and the file that holds those of one part.

Every part of ``python -m benchmarks`` writes ``benchmarks/results/PART.json`` in this form, so
that one program compares two runs, one draws them, and one holds them to a budget. Names of
workloads, methods and metrics are those of `benchmarks.catalogue`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slimpack.errors import InputError
from slimpack.files import atomic_file

SCHEMA = 1

Key = tuple[str, str, str, str, float]
"""Workload, method, metric, case, and `at` (0.0 for none)."""


@dataclass(frozen=True)
class Record:
    """One thing that was measured, in the unit of its metric.

    values: one a run, the runs in the order in which they were made.
    case: what was done or where, such as ``one pure package changed`` or ``100 Mbit/s``.
    at: where on the x-axis of a scaling curve.
    limit: what cannot be gone below, in the same unit; limit_of: what that is.
    """

    workload: str
    method: str
    metric: str
    values: tuple[float, ...]
    case: str = ""
    at: float | None = None
    limit: float | None = None
    limit_of: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"a record without values: {self.key}")

    @property
    def key(self) -> Key:
        """What a newer record of the same thing has in common with this one."""
        return (self.workload, self.method, self.metric, self.case, self.at or 0.0)

    @property
    def median(self) -> float:
        """The value that stands for all runs."""
        return statistics.median(self.values)

    @property
    def to_limit(self) -> float | None:
        """The median as a ratio to the limit; None where there is none."""
        return self.median / self.limit if self.limit else None


@dataclass(frozen=True)
class Results:
    """The records of one part, and all that one must know to judge or repeat them.

    machine: of whatever was measured last. commands: method -> what it ran, with
    ROOT-relative paths. notes: what else a reader must know, a paragraph each. reasons: what
    could not be measured, such as ``W6, pip in a venv``, and why.
    """

    part: str
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    channel: str = ""
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    records: tuple[Record, ...] = ()

    def find(
        self,
        *,
        workload: str | None = None,
        method: str | None = None,
        metric: str | None = None,
        case: str | None = None,
    ) -> tuple[Record, ...]:
        """Return the records that have all that is given, in their order."""
        asked = {"workload": workload, "method": method, "metric": metric, "case": case}
        given = {name: value for name, value in asked.items() if value is not None}
        return tuple(
            record
            for record in self.records
            if all(getattr(record, name) == value for name, value in given.items())
        )

    def value(self, workload: str, method: str, metric: str, case: str = "") -> float | None:
        """Return the median of one record without `at`; None where it was not measured."""
        key = (workload, method, metric, case, 0.0)
        return next((record.median for record in self.records if record.key == key), None)

    def merged(self, newer: Results) -> Results:
        """Return this with what is newer; what the newer run did not measure stays as it was."""
        known = {record.key: record for record in self.records}
        known.update((record.key, record) for record in newer.records)
        return replace(
            newer,
            records=tuple(known.values()),
            versions={**self.versions, **newer.versions},
            commands={**self.commands, **newer.commands},
            notes=newer.notes or self.notes,
            reasons={**self.reasons, **newer.reasons},
        )


def write_results(results: Results, path: Path) -> None:
    """Write a part's file, whole or not at all."""
    whole = {"schema": SCHEMA, **asdict(results)}
    whole["records"] = [_short(record) for record in results.records]
    with atomic_file(path, durable=False) as stream:
        stream.write((json.dumps(whole, indent=1) + "\n").encode())


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote; InputError for a file of another kind."""
    try:
        whole = json.loads(path.read_bytes())
        if whole["schema"] != SCHEMA:
            raise ValueError(f"schema {whole['schema']}, expected {SCHEMA}")
        records = tuple(_record(value) for value in whole["records"])
        return Results(
            part=whole["part"],
            machine=whole["machine"],
            versions=whole["versions"],
            channel=whole["channel"],
            commands=whole["commands"],
            notes=tuple(whole["notes"]),
            reasons=whole.get("reasons", {}),
            records=records,
        )
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no results of benchmarks: {error}",
            hint="name a file, or a folder of files, that `python -m benchmarks run` wrote",
        ) from error


def update_results(newer: Results, folder: Path) -> Results:
    """Merge into the part's file in `folder`; return what it holds now."""
    path = folder / f"{newer.part}.json"
    whole = read_results(path).merged(newer) if path.exists() else newer
    write_results(whole, path)
    return whole


def read_all(path: Path) -> dict[str, Results]:
    """Read one file, or all files of a folder that hold results; part -> results.

    Files of a folder that have another form (results of single experiments) are passed over.
    """
    if not path.is_dir():
        results = read_results(path)
        return {results.part: results}
    found: dict[str, Results] = {}
    for file in sorted(path.glob("*.json")):
        if '"schema"' in file.read_text(encoding="utf-8")[:100]:
            results = read_results(file)
            found[results.part] = results
    if not found:
        raise InputError(f"no results of benchmarks in {path}", hint="run: make bench-quick")
    return found


def all_records(parts: Iterable[Results]) -> dict[tuple[str, Key], Record]:
    """Return (part, key) -> record of all parts."""
    return {(part.part, record.key): record for part in parts for record in part.records}


def _short(record: Record) -> dict[str, Any]:
    """Leave out what is not there, so that files stay readable."""
    return {name: value for name, value in asdict(record).items() if value not in (None, "")}


def _record(value: Mapping[str, Any]) -> Record:
    return Record(**{**value, "values": tuple(float(each) for each in value["values"])})
