from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.report.imports import Import, StartUp, compact, parse_importtime
from tests.report.samples import IMPORT_TIMES


@dataclass
class Module:
    name: str
    own: int
    children: list[Module] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.own + sum(child.total for child in self.children)

    def printed(self, level: int = 0) -> str:
        """What CPython prints: children first, then the module itself."""
        below = "".join(child.printed(level + 1) for child in self.children)
        indent = "  " * level
        return f"{below}import time: {self.own:9} | {self.total:10} | {indent}{self.name}\n"

    def listed(self, depth: int = 0) -> list[Import]:
        below = [item for child in self.children for item in child.listed(depth + 1)]
        return [Import(self.name, self.own, self.total, depth), *below]


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}(\.[a-z]{1,5})?", fullmatch=True)
LEAVES = st.builds(Module, NAMES, st.integers(0, 10**6))
MODULES = st.recursive(
    LEAVES,
    lambda below: st.builds(Module, NAMES, st.integers(0, 10**6), st.lists(below, max_size=4)),
    max_leaves=30,
)


@given(st.lists(MODULES, min_size=1, max_size=5))
def test_every_tree_that_python_prints_is_read_back(modules: list[Module]) -> None:
    text = "".join(module.printed() for module in modules)
    found = parse_importtime(text, "x")
    assert list(found.imports) == [item for module in modules for item in module.listed()]
    assert found.total == sum(module.total for module in modules)


@given(st.lists(MODULES, min_size=1, max_size=5), st.integers(0, 10**6))
def test_leaving_small_ones_out_keeps_the_time(modules: list[Module], threshold: int) -> None:
    whole = parse_importtime("".join(module.printed() for module in modules), "x")
    small = compact(whole, threshold)
    assert small.total == whole.total
    kept = [item for item in small.imports if "others" not in item.module]
    assert all(item.total >= threshold for item in kept)
    assert len(small.imports) <= len(whole.imports) + 1


@given(st.text())
def test_any_text_gives_imports_or_an_error(text: str) -> None:
    try:
        found = parse_importtime(text, "x")
    except InputError:
        return
    assert found.imports


def test_the_order_of_imports_is_kept_and_other_lines_are_passed_over() -> None:
    found = parse_importtime(IMPORT_TIMES, "x")
    assert [(item.module, item.depth) for item in found.imports] == [
        ("site", 0),
        ("_io", 1),
        ("io", 1),
        ("abc", 2),
        ("numpy", 0),
    ]
    assert found.total == 690


def test_small_imports_are_counted_with_what_imported_them() -> None:
    found = compact(parse_importtime(IMPORT_TIMES, "x"), 200)
    assert found == StartUp(
        (
            Import("site", 400, 750, 0),
            Import("io", 250, 350, 1),
            Import("1 others", 40, 40, 0),
        )
    )


def test_what_a_real_interpreter_prints(python_times: str) -> None:
    found = parse_importtime(python_times, "x")
    by_name = {item.module: item for item in found.imports}
    assert by_name["json"].depth == 0
    assert by_name["json.decoder"].depth == 1
    assert by_name["json"].total >= by_name["json.decoder"].total


@pytest.fixture
def python_times() -> str:
    import subprocess
    import sys

    command = [sys.executable, "-S", "-X", "importtime", "-c", "import json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no import times"),
        ("import time: self [us] | cumulative | imported package", "holds no import times"),
        ("import time: -1 | 2 | x", "holds no import times"),
        ("import time: 1 | 2 | " + " " * 500 + "x", "deep"),
        ("import time: 1 | 2 | x\n" * 60_000, "more than 50000 imports"),
        ("x" * (17 << 20), "characters"),
    ],
)
def test_what_holds_no_or_too_many_times_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_importtime(text, "times.txt")
