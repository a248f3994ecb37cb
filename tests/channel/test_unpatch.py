"""Debian's patches come off again."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.channel import unpatch
from benchmarks.channel.errors import ChannelError

LINES = st.lists(st.sampled_from(["a", "b", "", "  x", "-y", "+z"]), min_size=1, max_size=30)


def diff(before: list[str], after: list[str]) -> str:
    lines = difflib.unified_diff(before, after, "a/Lib/m.py", "b/Lib/m.py", lineterm="")
    return "\n".join(lines) + "\n"


@given(LINES)
def test_a_change_in_unique_lines_is_taken_back(lines: list[str]) -> None:
    before = [f"{number} {line}" for number, line in enumerate(lines)]
    after = [*before[: len(before) // 2], "new", *before[len(before) // 2 + 1 :]]
    (patch,) = unpatch.parse_patch(diff(before, after))
    assert unpatch.reverse(after, patch.hunks, "m.py") == before


def test_shifted_hunks_are_found(tmp_path: Path) -> None:
    text = diff(["a", "b", "c"], ["a", "B", "c"])
    (tmp_path / "m.py").write_text("\n".join(["other"] * 5 + ["a", "B", "c", ""]))
    unpatch.unpatch_tree(tmp_path, [text], "Lib/")
    assert (tmp_path / "m.py").read_text().split() == ["other"] * 5 + ["a", "b", "c"]


def test_created_files_vanish_and_absent_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("x\n")
    text = (
        "--- /dev/null\n+++ b/Lib/new.py\n@@ -0,0 +1 @@\n+x\n"
        "--- a/Lib/test/gone.py\n+++ b/Lib/test/gone.py\n@@ -1 +1 @@\n-a\n+b\n"
        "--- a/Makefile\n+++ b/Makefile\n@@ -1 +1 @@\n-a\n+b\n"
    )
    unpatch.unpatch_tree(tmp_path, [text], "Lib/")
    assert list(tmp_path.iterdir()) == []


def test_a_patch_that_does_not_come_off_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("something else\n")
    with pytest.raises(ChannelError, match=r"does not come off Lib/m\.py"):
        unpatch.unpatch_tree(tmp_path, [diff(["a"], ["b"])], "Lib/")
