from __future__ import annotations

import pytest

from slimpack.env.redact import redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://bob:p@ss@h.example/c/", "https://h.example/c/"),
        ("git+https://bob:pw@h.example/r@main", "git+https://h.example/r@main"),
        ("https://h.example/t/tk-1/c/noarch", "https://h.example/c/noarch"),
    ],
)
def test_credentials_are_taken_out_whole(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "file:///t/channel/noarch/a-1-0.conda",
        "https://h.example/packages/source/t/tqdm/tqdm-4.tar.gz",
        "git+ssh://git@h.example/r@main",
    ],
)
def test_what_only_looks_like_credentials_stays(text: str) -> None:
    assert redacted(text) == text
