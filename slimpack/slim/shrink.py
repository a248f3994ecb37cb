"""What stays becomes smaller: sources that bytecode stands for, parts of ELF files.

Both see the tree with its final bytecode. New contents are made while they are read,
from the packaged bytes, so that nothing is written and every check of those still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import BinaryIO, Literal

from slimpack.elf.pieces import Plan, fingerprint
from slimpack.elf.read import seekable_elf
from slimpack.elf.strip import StripPlan, strip_plan
from slimpack.elf.stripped import stripped
from slimpack.slim.bytecode import source_of
from slimpack.slim.modules import module_at
from slimpack.slim.ruleset import Rule, Rules
from slimpack.slim.slimming import Change, Scope, selector
from slimpack.tree import Entry, Kind, Tree, may_be_elf, under

Selector = Callable[[str, Entry], bool]
# Without symbols no debugger is expected, so that segments may move in the file
# (their addresses never do) and leave no gap of zeros.
_LEVELS: tuple[tuple[str, Literal["debug", "symbols"], bool], ...] = (
    ("strip-debug", "debug", False),
    ("strip-symbols", "symbols", True),
)


def shrink(
    tree: Tree,
    rules: Rules,
    scope: Scope,
    views: Mapping[str, Callable[[], BinaryIO]] | None = None,
) -> tuple[Tree, tuple[Change, ...]]:
    """Return the tree after the rules that shorten files, and what each did.

    views: by path below the prefix, what opens the content of a file seekable.
    """
    tree, sources = _bytecode_only(tree, rules, scope)
    tree, parts = _stripped(tree, rules, scope, views or {})
    return tree, (*sources, *parts)


def _bytecode_only(tree: Tree, rules: Rules, scope: Scope) -> tuple[Tree, tuple[Change, ...]]:
    """Put bytecode in the place of sources (``a.pyc`` for ``a.py``), where rules say so.

    Python takes such a file where it finds no source (`SourcelessFileLoader`); tracebacks
    keep names and line numbers, which are in the code, and lose the lines themselves.
    """
    wanted = active(rules, "bytecode-only", scope)
    if not wanted:
        return tree, ()
    inside = under(scope.prefix, "")
    cached = {source: entry for entry in tree if (source := source_of(entry.path))}
    changes = []
    gone: set[str] = set()
    moved: list[Entry] = []
    for path, entry in scope.files(tree).items():
        code = cached.get(entry.path)
        if code is None or not path.endswith(".py") or module_at(path) is None:
            continue
        rule = next((rule for rule, means in wanted if means(path, entry)), None)
        target = f"{entry.path[:-3]}.pyc"
        if rule is None or target in tree:
            continue
        gone |= {entry.path, code.path}
        moved.append(replace(code, path=target))
        changes.append(Change(entry.path[len(inside) :], entry.owner, rule.name, entry.size))
    return Tree((*(entry for entry in tree if entry.path not in gone), *moved)), tuple(changes)


def _stripped(
    tree: Tree, rules: Rules, scope: Scope, views: Mapping[str, Callable[[], BinaryIO]]
) -> tuple[Tree, tuple[Change, ...]]:
    """Leave out sections that no loader maps, where rules say so."""
    wanted = [
        (level, close_gaps, active(rules, action, scope)) for action, level, close_gaps in _LEVELS
    ]
    if not any(found for _, _, found in wanted):
        return tree, ()
    changes: list[Change] = []
    smaller: list[Entry] = []
    files = scope.files(tree)
    for path, entry in files.items():
        if not may_change(path, entry, files):
            continue
        opened = views.get(path) or opener(entry, scope)
        plan: StripPlan | None = None
        for level, close_gaps, found in wanted:
            rule = next((rule for rule, means in found if means(path, entry)), None)
            new = _plan(entry, level, opened, close_gaps) if rule else None
            if rule and new and new.new_size < (plan.new_size if plan else entry.size):
                saved = (plan.new_size if plan else entry.size) - new.new_size
                changes.append(Change(path, entry.owner, rule.name, saved, removed=False))
                plan = new
        if plan:
            smaller.append(with_plan(entry, plan))
    return tree.merge(smaller), tuple(changes)


def active(rules: Rules, action: str, scope: Scope) -> list[tuple[Rule, Selector]]:
    """Return the rules with that action that do not rest, each with what it means."""
    return [
        (rule, selector(rule, scope, rules.keeps))
        for rule in rules.rules
        if rule.action == action and not scope.blocker(rule)
    ]


def may_change(path: str, entry: Entry, files: Mapping[str, Entry]) -> bool:
    """Tell whether a file of `files`, by path below the prefix, may be an ELF file to shorten."""
    like_elf = may_be_elf(path, entry.mode)
    return entry.kind is Kind.FILE and like_elf and not _is_sealed(path, files)


def opener(entry: Entry, scope: Scope) -> Callable[[], BinaryIO]:
    """Return what opens the content of a file, seekable if it lies on disk."""
    path = scope.on_disk(entry)
    return entry.open if path is None else lambda: open(path, "rb")


def _is_sealed(path: str, files: Mapping[str, Entry]) -> bool:
    """Tell whether a checksum of the file lies beside it (``.libx.so.hmac``, for FIPS mode)."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.hmac".lstrip("/") in files


def _plan(
    entry: Entry,
    level: Literal["debug", "symbols"],
    opened: Callable[[], BinaryIO],
    close_gaps: bool,
) -> StripPlan | None:
    with opened() as stream:
        found = seekable_elf(stream)
        return strip_plan(found, entry.size, level, close_gaps=close_gaps) if found else None


def with_plan(entry: Entry, plan: Plan) -> Entry:
    """Return an entry whose content is made, while it is read, of that of another."""

    def opened() -> BinaryIO:
        return stripped(entry.open(), plan)

    known = entry.identity and f"{entry.identity}|{fingerprint(plan)}"
    return replace(entry, size=plan.new_size, opener=opened, identity=known)
