"""Short tables in documents: filled from results, and never older than these."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.catalogue import workload_names
from benchmarks.parts import RESULTS
from benchmarks.records import Record, Results, read_all
from benchmarks.summaries import DOCUMENTS, TABLES, fill_all, filled
from slimpack.errors import InputError

PURE, COLD = "one pure package changed", "cold"


def builds(*records: Record) -> dict[str, Results]:
    return {"builds": Results("builds", records=records)}


def table(name: str, parts: dict[str, Results]) -> list[str]:
    text = filled(f"before\n<!-- benchmarks: {name} -->\nold\n<!-- end -->\nbehind\n", parts, "x")
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind")
    assert lines[1].startswith("<!--")
    assert "old" not in lines
    return lines[2:-2]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_the_results_that_are_committed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "<!-- benchmarks: " in text
    assert filled(text, read_all(RESULTS), path.name) == text


def test_ratios_are_to_the_best_practice_and_what_was_not_measured_is_left_out() -> None:
    parts = builds(
        Record("w2", "safe", "total", (1.0, 3.0), COLD),
        Record("w2", "best", "total", (8.0,), COLD),
        Record("w2", "safe", "sent", (4e3,), PURE),
        Record("w2", "best", "sent", (1e6,), PURE),
        Record("w4", "safe", "total", (1.0,), COLD),
    )
    lines = {line.split(":")[0].removeprefix("| "): line for line in table("workloads", parts)[2:]}
    assert [name.lower() for name in lines] == list(workload_names())
    assert lines["W2"].endswith("|  |  |  | 0.25 |  |  |  | 0.004 |")
    assert lines["W4"].endswith("|  |  |  |  |  |  |  |  |")


def test_figures_are_seconds_and_megabytes() -> None:
    parts = builds(
        Record("w1", "safe", "total", (0.714,), "nothing changed"),
        Record("w1", "best", "build", (17.34,), PURE),
        Record("w1", "best", "push", (16.0,), PURE),
        Record("w1", "safe", "sent", (0.0,), "nothing changed"),
        Record("w1", "best", "sent", (132.94e6,), PURE),
    )
    lines = table("changes", parts)
    assert lines[2].startswith("| nothing | 0.71 s | ? s | ? + ? s | 0 |")
    assert lines[4] == "| one pure package (idna) | ? s | ? s | 17.3 + 16.0 s | ? | 132.9 |"


def test_a_table_that_nobody_knows_is_named() -> None:
    with pytest.raises(InputError, match=r"README\.md: no table 'bside'"):
        filled("<!-- benchmarks: bside -->\n<!-- end -->\n", {}, "README.md")
    assert set(TABLES) == {"beside", "workloads", "changes"}


def test_only_what_changes_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- benchmarks: beside -->\n<!-- end -->\n", encoding="utf-8")
    assert fill_all({}, (page,)) == [page]
    before = page.stat()
    assert fill_all({}, (page,)) == []
    assert page.stat().st_ino == before.st_ino
