from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.report.names import amount, change, clean, count, share


@given(st.text(alphabet=st.characters(), max_size=300))
def test_foreign_text_is_one_visible_line(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= 100
    assert all(character.isprintable() for character in shown)


def test_hidden_characters_are_made_visible() -> None:
    assert clean("numpy\u202egnp.exe\x1b[31m\udc80\n\u200b") == "numpy�gnp.exe�[31m� �"
    assert clean("a" * 200, 5) == "aaaa…"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (10**21, "1000000.0 PB"),
        (-1500, "\N{MINUS SIGN}1.5 kB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert amount(size) == shown


def test_shares_changes_and_numbers() -> None:
    assert [share(1, 3), share(0, 5), share(1, 0), share(1, 10**6)] == [
        "33.3 %",
        "0 %",
        "0 %",
        "<0.1 %",
    ]
    assert [change(1500), change(-2), change(0)] == ["+1.5 kB", "\N{MINUS SIGN}2 B", "0 B"]
    assert [count(1, "file"), count(2000, "file")] == ["1 file", "2,000 files"]
