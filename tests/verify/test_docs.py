"""docs/verify.md says what the checks say of themselves."""

from __future__ import annotations

import re

from slimpack.verify.checks import CHECKS
from slimpack.verify.checks.secrets import PATTERNS
from tests.support.channel import ROOT

TEXT = (ROOT / "docs/verify.md").read_text(encoding="utf-8")


def table() -> list[str]:
    return [
        f"| `{check.name}` | {check.explanation} | {check.fix} |".replace("\n", " ")
        for check in CHECKS
    ]


def test_the_table_is_in_step() -> None:
    shown = [line for line in TEXT.splitlines() if re.match(r"\| `[a-z-]+` \|", line)]
    assert shown == table()


def test_every_kind_of_key_is_named() -> None:
    for pattern in PATTERNS:
        assert pattern.name in TEXT, pattern.name
