"""Tables in Markdown, made from records: a line for what was done, a column for each metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from benchmarks.catalogue import methods, metrics, workload_of
from benchmarks.records import Record, Results

_UNITS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "bytes": (", MB", lambda value: f"{value / 1e6:.3g}" if value < 1e6 else f"{value / 1e6:.1f}"),
    "s": (", s", lambda value: f"{value:.3f}" if value < 0.1 else f"{value:.2f}"),
    "count": ("", lambda value: f"{value:.0f}"),
}


def row(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def head(words: Sequence[str], numbers: Sequence[str]) -> Iterator[str]:
    """Yield the head of a table whose first columns are words and the others numbers."""
    yield row((*words, *numbers))
    yield row((*["---"] * len(words), *["---:"] * len(numbers)))


def shown(value: float, unit: str) -> str:
    """Return a value in the unit that tables have: MB, seconds, or as it is."""
    return _UNITS[unit][1](value)


def records_table(
    results: Results, columns: Sequence[str], *, reference: str = "", limits: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a table of some metrics: a line for each workload, method, case and place.

    reference: a method; each first-column value is also shown as a ratio to its. limits:
    metrics whose ratio to their limit is shown beside them.
    """
    known = metrics()
    lines = _lines(results, columns)
    numbers: list[str] = []
    for name in columns:
        numbers.append(f"{known[name].title}{_UNITS[known[name].unit][0]}")
        numbers += ["to its limit"] if name in limits else []
    numbers += [f"{known[columns[0]].title}, ratio"] if reference else []
    with_case = any(case for _, _, case, _ in lines)
    yield from head(("workload", *(["case"] if with_case else []), "method"), numbers)
    for (workload, method, case, at), found in lines.items():
        named = [f"{case} {at:g}".strip() if at else case] if with_case else []
        cells = [workload_title(workload), *named, method_title(method)]
        for name in columns:
            record = found.get(name)
            cells.append(shown(record.median, known[name].unit) if record else "")
            if name in limits:
                ratio = record.to_limit if record else None
                cells.append("" if ratio is None else f"{ratio:.2f}")
        if reference:
            cells.append(_ratio(found.get(columns[0]), results, reference))
        yield row(cells)


def absent(names: Iterable[str] = ()) -> Iterator[str]:
    """Yield a line for each method that cannot run here, with the reason."""
    for method in methods().values():
        if method.reason and (not names or method.name in names):
            yield f"- **{method.title}**: {method.reason}"


def facts(results: Results) -> Iterator[str]:
    """Yield the paragraphs below a table: notes, what could not be measured, machine, versions."""
    for note in results.notes:
        yield ""
        yield note
    if results.reasons:
        yield ""
    for what, why in sorted(results.reasons.items()):
        yield f"- {what}: {why}."
    yield ""
    computer = ", ".join(results.machine.values())
    used = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    yield f"Channel: {results.channel}. Machine: {computer}. Versions: {used}."


def workload_title(name: str) -> str:
    """Return how tables name a workload; names of no workload stay."""
    found = workload_of(name)
    return f"{name.upper()}: {found.title}" if found else name


def method_title(name: str) -> str:
    """Return how tables name a method; names of no method stay."""
    found = methods().get(name)
    return found.title if found else name


def _lines(
    results: Results, columns: Sequence[str]
) -> dict[tuple[str, str, str, float], dict[str, Record]]:
    """Return (workload, method, case, at) -> metric -> record."""
    lines: dict[tuple[str, str, str, float], dict[str, Record]] = {}
    for record in results.records:
        if record.metric in columns:
            place = (record.workload, record.method, record.case, record.at or 0.0)
            lines.setdefault(place, {})[record.metric] = record
    return lines


def _ratio(record: Record | None, results: Results, reference: str) -> str:
    if record is None:
        return ""
    base = results.value(record.workload, reference, record.metric, record.case)
    return f"{record.median / base:.2f}" if base else ""
