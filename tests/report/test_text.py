from __future__ import annotations

from dataclasses import replace

import pytest

from slimpack.report.data import Report
from slimpack.report.text import MIN_WIDTH, Node, render_text, tree


@pytest.mark.parametrize("width", [10, 40, 60, 80, 120, 250])
def test_no_line_is_wider_than_asked(report: Report, hostile: Report, width: int) -> None:
    for one in (report, hostile):
        lines = render_text(one, width).splitlines()
        assert max(map(len, lines)) <= max(width, MIN_WIDTH)


def test_what_is_shown(report: Report) -> None:
    text = render_text(report, 160)
    for shown in (
        "image     serve:1.0",
        "├── numpy",
        "│   └── library",
        "by kind, before slimming",
        "tests (15 files): only needed to test the packages themselves",
        "profile serve: 125.0 kB of 179.0 kB (69.8 %) taken",
        "1 numpy (new)",
        "where serve:0.9 is: 2 of 3 layers there",
        "Docker Engine's own store",
        "verify    1 check of 3 failed",
        "opt/env/lib/x.py: No module named 'y'",
        "not made  cuda: no CUDA in it",
        "start-up  0.7 ms in 5 modules",
        "│   └── io",
    ):
        assert shown in text, shown


def test_the_tree_of_imports_has_its_depth(report: Report) -> None:
    lines = render_text(report, 80).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("start-up"))
    assert [line.split("█")[0].rstrip() for line in lines[start + 1 :]] == [
        "├── site",
        "│   ├── _io",
        "│   └── io",
        "│       └── abc",
        "└── numpy",
    ]


def test_an_image_that_was_not_slimmed(plain: Report) -> None:
    text = render_text(plain)
    assert "slimming  not slimmed by slimpack" in text
    assert "verify" not in text
    assert "start-up" not in text


def test_ascii_alone_is_enough(report: Report) -> None:
    text = render_text(replace(report, name="schön"), ascii_only=True)
    assert text.isascii()
    assert "|-- numpy" in text
    assert "sch?n" in text


def test_bars_are_as_long_as_their_values() -> None:
    nodes = [Node("a", 100, "100"), Node("b", 50, "50"), Node("c", 0, "0")]
    bars = [line.count("█") for line in tree("x", nodes, 91)[1:]]
    assert bars == [20, 10, 0]
