"""What was there and what went, counted by package and kind: the record of a slimming."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slimpack.slim.kinds import kind_of
from slimpack.slim.record import Applied, RuleNote, SlimRecord, Usage
from slimpack.slim.ruleset import Rules
from slimpack.slim.slimming import Change, removed_modules
from slimpack.tree import Entry


def account(
    profile: str,
    prefix: str,
    rules: Rules,
    before: Mapping[str, Entry],
    changes: Sequence[Change],
) -> SlimRecord:
    """Return the record of what `changes` did to the files `before`.

    prefix: without slashes around it. before: by path below the prefix, without folders.
    """
    gone = {change.path for change in changes if change.removed}
    told = {change.rule for change in changes}
    return SlimRecord(
        profile=profile,
        prefix=prefix,
        rules=tuple(
            RuleNote(rule.name, rule.profile, rule.reason, rule.action)
            for rule in rules.rules
            if rule.name in told
        ),
        applied=tuple(
            Applied(rule, owner, kind, files, size)
            for (rule, owner, kind), (files, size) in _sums(
                ((change.rule, change.owner, kind_of(change.path)), change.bytes)
                for change in changes
            )
        ),
        before=tuple(
            Usage(owner, kind, files, size)
            for (owner, kind), (files, size) in _sums(
                ((entry.owner, kind_of(path)), entry.size) for path, entry in before.items()
            )
        ),
        modules=removed_modules(before, sources_gone(gone, changes, rules)),
        packages=packages_gone({path: entry.owner for path, entry in before.items()}, gone),
    )


def _sums(
    items: Iterable[tuple[tuple[str, ...], int]],
) -> list[tuple[tuple[str, ...], tuple[int, int]]]:
    """Return key -> (number, sum), sorted by key."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for key, size in items:
        files, total = found.get(key, (0, 0))
        found[key] = files + 1, total + size
    return sorted(found.items())


def sources_gone(gone: set[str], changes: Sequence[Change], rules: Rules) -> set[str]:
    """Return the paths that went for good: a source may have left its bytecode behind."""
    kinds = {rule.name: rule.action for rule in rules.rules}
    return gone - {change.path for change in changes if kinds[change.rule] == "bytecode-only"}


def packages_gone(owners: Mapping[str, str], gone: set[str]) -> tuple[str, ...]:
    """Return the packages of which nothing is left. owners: path -> package."""
    left = {owner for path, owner in owners.items() if path not in gone}
    return tuple(sorted(set(owners.values()) - left))
