"""Short tables in documents for people, filled from the results so that no figure gets old.

A document has the lines ``<!-- benchmarks: NAME -->`` and ``<!-- end -->``; what is between them is
written by ``python -m benchmarks report``. Ratios are of medians of one run, slimpack's to the
best practice's. What was not measured has no figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.building.making import APPLICATION, COLD, ONE_HEAVY, ONE_PURE, SAME
from benchmarks.catalogue import workload_names, workload_of
from benchmarks.demo import ROOT
from benchmarks.records import Results
from benchmarks.tables import head, row, workload_title
from benchmarks.targets import REFERENCE
from slimpack.errors import InputError
from slimpack.files import atomic_file

Parts = Mapping[str, Results]

DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "cache.md")
_SHOWN = "w1"
_START = ("start", "cold-start", "docker, 100 Mbit/s")
_OURS, _UNVERIFIED = "safe", "unverified"
_PLACE = re.compile(r"^<!-- benchmarks: (\S+) -->\n(.*?)^<!-- end -->\n", re.DOTALL | re.MULTILINE)
_MB = 10**6


def fill_all(parts: Parts, documents: tuple[Path, ...] = DOCUMENTS) -> list[Path]:
    """Fill the documents, each whole or not at all; return those that have changed."""
    changed = []
    for path in documents:
        text = path.read_text(encoding="utf-8")
        new = filled(text, parts, path.name)
        if new != text:
            with atomic_file(path, durable=False) as stream:
                stream.write(new.encode())
            changed.append(path)
    return changed


def filled(text: str, parts: Parts, where: str) -> str:
    """Return a document with all its tables; InputError for one that nobody can make."""

    def table(found: re.Match[str]) -> str:
        name = found[1]
        if name not in TABLES:
            raise InputError(f"{where}: no table {name!r}", hint=f"known: {', '.join(TABLES)}")
        lines = "\n".join(TABLES[name](parts))
        return f"<!-- benchmarks: {name} -->\n{lines}\n<!-- end -->\n"

    return _PLACE.sub(table, text)


def beside(parts: Parts) -> Iterator[str]:
    """Yield what one workload costs by the best practice and by slimpack."""
    yield from head((workload_title(_SHOWN),), ("conda-pack, multi-stage", "slimpack", "ratio"))
    for title, unit, *what in (
        ("compressed", "MB", "images", "compressed", ""),
        ("pull over 100 Mbit/s to the first good answer (Docker)", "s", *_START),
        ("cold build and push", "s", "builds", "total", COLD),
        ("after one pure package changed: build and push", "s", "builds", "total", ONE_PURE),
        ("and what is sent", "MB", "builds", "sent", ONE_PURE),
    ):
        theirs = _value(parts, _SHOWN, REFERENCE, *what)
        ours = _value(parts, _SHOWN, _OURS, *what)
        figures = (f"{_figure(each, unit)} {unit}" for each in (theirs, ours))
        yield row((title, *figures, _ratio(parts, _SHOWN, _OURS, *what)))


def of_workloads(parts: Parts) -> Iterator[str]:
    """Yield a line of ratios for each workload."""
    columns = (
        ("safe, bytes", _OURS, "images", "compressed", ""),
        ("tight, bytes", "tight", "images", "compressed", ""),
        ("start", _OURS, *_START),
        ("cold build", _OURS, "builds", "total", COLD),
        ("not verified", _UNVERIFIED, "builds", "total", COLD),
        ("one pure package changed", _OURS, "builds", "total", ONE_PURE),
        ("not verified", _UNVERIFIED, "builds", "total", ONE_PURE),
        ("its bytes", _OURS, "builds", "sent", ONE_PURE),
    )
    yield from head(("",), [column[0] for column in columns])
    for name in workload_names():
        yield row((workload_title(name), *(_ratio(parts, name, *what) for _, *what in columns)))


def of_changes(parts: Parts) -> Iterator[str]:
    """Yield what a rebuild of one workload costs by what has changed."""
    workload = workload_of(_SHOWN)
    assert workload is not None
    numbers = ("by default", "`--no-verify`", "conda-pack and docker build + its push")
    yield from head(("changed",), (*numbers, "sent, MB", "theirs"))
    for title, case in (
        ("nothing", SAME),
        ("a line of the application", APPLICATION),
        (f"one pure package ({workload.pure})", ONE_PURE),
        (f"one heavy package ({workload.heavy})", ONE_HEAVY),
    ):
        ours = [
            _figure(_value(parts, _SHOWN, method, "builds", "total", case), "s")
            for method in (_OURS, _UNVERIFIED)
        ]
        theirs = [
            _figure(_value(parts, _SHOWN, REFERENCE, "builds", metric, case), "s")
            for metric in ("build", "push")
        ]
        sent = [
            _figure(_value(parts, _SHOWN, method, "builds", "sent", case), "MB")
            for method in (_OURS, REFERENCE)
        ]
        yield row((title, *(f"{one} s" for one in ours), " + ".join(theirs) + " s", *sent))


TABLES: Mapping[str, Callable[[Parts], Iterator[str]]] = {
    "beside": beside,
    "workloads": of_workloads,
    "changes": of_changes,
}


def _value(
    parts: Parts, workload: str, method: str, part: str, metric: str, case: str
) -> float | None:
    return parts[part].value(workload, method, metric, case) if part in parts else None


def _ratio(parts: Parts, workload: str, method: str, part: str, metric: str, case: str) -> str:
    """Return slimpack's to the best practice's, "" where one of them was not measured."""
    value = _value(parts, workload, method, part, metric, case)
    base = _value(parts, workload, REFERENCE, part, metric, case)
    if value is None or not base:
        return ""
    ratio = value / base
    return f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.3f}"


def _figure(value: float | None, unit: str) -> str:
    """Return a value as people read it: one digit behind the point from 1, two below."""
    if value is None:
        return "?"
    number = value / _MB if unit == "MB" else value
    return f"{number:.1f}" if number >= 1 else f"{number:.2f}" if number else "0"
