"""What ``python -X importtime`` printed, as a tree.

Format: CPython's Python/import.c, ``import_find_and_load``: a line for each module
when its import ends, so that what a module imported comes before it::

    import time: self [us] | cumulative | imported package
    import time:       120 |        120 |   _io
    import time:       300 |        420 | io

Two more spaces before the name for each module that is being imported around it.
Modules that were imported already have no line, or the word ``cached`` for numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from slimpack.errors import InputError

MAX_IMPORT_TIMES = 16 << 20
"""Bytes; a longer text is refused."""

_MAX_MODULES = 50_000
_MAX_DEPTH = 200  # CPython's own recursion limit ends imports long before
_LINE = re.compile(r"import time:\s*(\d{1,15}) \|\s*(\d{1,15}) \| ( *)(\S.{0,300})\Z")


@dataclass(frozen=True)
class Import:
    """One module; microseconds.

    own: of the module's own code. total: with what it imported, as Python told it.
    depth: 0 for what nothing else imported.
    """

    module: str
    own: int
    total: int
    depth: int


@dataclass(frozen=True)
class StartUp:
    """All imports, each followed by what it imported (pre-order), in the order they happened."""

    imports: tuple[Import, ...]

    @property
    def total(self) -> int:
        """Microseconds of all imports."""
        return sum(item.own for item in self.imports)


def parse_importtime(text: str, what: str) -> StartUp:
    """Read stderr of ``python -X importtime``; other lines in it are passed over.

    Raises InputError, naming `what`, when it holds no import times or far too many.
    """
    if len(text) > MAX_IMPORT_TIMES:
        raise InputError(f"{what} has more than {MAX_IMPORT_TIMES} characters")
    lines = [match for line in text.splitlines() if (match := _LINE.match(line))]
    if not lines:
        raise InputError(
            f"{what} holds no import times",
            hint="make it with: python -X importtime -c 'import main' 2> FILE",
        )
    if len(lines) > _MAX_MODULES:
        raise InputError(f"{what} holds more than {_MAX_MODULES} imports")
    imports: list[Import] = []
    levels = [-1]  # of the imports that are being made, innermost last
    # Read backwards, a module comes before what it imported.
    for match in reversed(lines):
        level = len(match[3]) // 2
        if level > _MAX_DEPTH:
            raise InputError(f"{what} holds imports that are more than {_MAX_DEPTH} deep")
        while levels[-1] >= level:
            levels.pop()
        imports.append(Import(match[4], int(match[1]), int(match[2]), len(levels) - 1))
        levels.append(level)
    return StartUp(_in_order(imports))


def _in_order(backwards: list[Import]) -> tuple[Import, ...]:
    """Turn the siblings around, at every level: from last-first to first-first, in pre-order."""
    finished: list[list[list[Import]]] = [[] for _ in range(_MAX_DEPTH + 2)]
    # From the end: a module meets its children complete, first child first.
    for item in reversed(backwards):
        children = finished[item.depth + 1]
        finished[item.depth + 1] = []
        finished[item.depth].append([item, *(one for child in children for one in child)])
    return tuple(one for tree in finished[0] for one in tree)


def compact(start_up: StartUp, threshold: int) -> StartUp:
    """Leave out imports that took less than `threshold` microseconds; the sums stay.

    What a module imported and is left out is counted as its own time; what nothing
    imported, as one item at the end.
    """
    kept: list[Import] = []
    at: dict[int, int] = {}  # depth -> index of the import that is being made there
    rest, hidden = 0, 0
    for item in start_up.imports:
        if item.total >= threshold and (not item.depth or item.depth - 1 in at):
            at = {depth: index for depth, index in at.items() if depth < item.depth}
            at[item.depth] = len(kept)
            kept.append(item)
            continue
        at = {depth: index for depth, index in at.items() if depth < item.depth}
        if at:
            parent = at[max(at)]
            kept[parent] = replace(kept[parent], own=kept[parent].own + item.own)
        else:
            rest += item.own
            hidden += 1
    if hidden:
        kept.append(Import(f"{hidden} others", rest, rest, 0))
    return StartUp(tuple(kept))
