"""What slimming decided for an environment, and why it would decide so again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from slimpack.slim.account import account, packages_gone, sources_gone
from slimpack.slim.predicates import Files
from slimpack.slim.questions import Answers, Questions
from slimpack.slim.record import RuleNote, SlimRecord
from slimpack.slim.ruleset import Rules
from slimpack.slim.slimming import Change, removed_modules
from slimpack.tree import Entry, Kind

Found = tuple[str, str, int]
"""A file as slimming found it: path below the prefix, owner, size."""


@dataclass(frozen=True)
class Decisions:
    """One slimming, as data.

    answers: of the environment's files. application: of the application's.
    before: the files that it was asked about. account: what was done, every file counted.
    record: what is kept of that in the result.
    """

    questions: Questions
    answers: Answers
    application: Answers
    before: tuple[Found, ...]
    changes: tuple[Change, ...]
    account: SlimRecord
    record: SlimRecord


def application_answers(questions: Questions, application: Iterable[Entry], prefix: str) -> Answers:
    """Return what an application answers, libraries of its own included."""
    entries = {f"/{entry.path}": entry for entry in application if entry.kind is Kind.FILE}
    files = Files(entries, lambda entry: None, prefix.strip("/"))
    return questions.answers(questions.asked_of(files), elf=True)


def with_others(
    old: Decisions,
    changed: Collection[str],
    rules: Rules,
    answers: Answers,
    before: Mapping[str, Entry],
    changes: Iterable[Change],
    owners: Mapping[str, str],
    installers: Collection[str],
) -> Decisions:
    """Return `old` with other files of the packages `changed`.

    answers, before, changes: of their new files, by path below the prefix. owners: path ->
    package, before. installers: those of the paths, old and new, that the record leaves out.
    """
    changes = tuple(changes)
    kept = [one for one in old.before if one[1] not in changed]
    found = (*kept, *((path, entry.owner, entry.size) for path, entry in before.items()))
    whole = (*(one for one in old.changes if one.owner not in changed), *changes)
    counted = {path: entry for path, entry in before.items() if path not in installers}
    return Decisions(
        questions=old.questions,
        answers={
            **{path: one for path, one in old.answers.items() if owners.get(path) not in changed},
            **answers,
        },
        application=old.application,
        before=tuple(sorted(found)),
        changes=tuple(sorted(whole, key=lambda change: change.path)),
        account=_merged(old.account, changed, rules, before, changes, found, whole),
        record=_merged(
            old.record,
            changed,
            rules,
            counted,
            [one for one in changes if one.path in counted],
            [one for one in found if one[0] not in installers],
            [one for one in whole if one.path not in installers],
        ),
    )


def _merged(
    old: SlimRecord,
    changed: Collection[str],
    rules: Rules,
    before: Mapping[str, Entry],
    changes: Iterable[Change],
    found: Iterable[Found],
    whole: Iterable[Change],
) -> SlimRecord:
    """Return a record with other rows of some packages.

    before, changes: of these packages. found, whole: of all.
    """
    found, whole = list(found), list(whole)
    new = account(old.profile, old.prefix, rules, before, list(changes))
    applied = [*(one for one in old.applied if one.owner not in changed), *new.applied]
    usage = [*(one for one in old.before if one.owner not in changed), *new.before]
    told = {one.rule for one in applied}
    owners = {path: owner for path, owner, _ in found}
    gone = {change.path for change in whole if change.removed}
    return SlimRecord(
        profile=old.profile,
        prefix=old.prefix,
        rules=tuple(
            RuleNote(rule.name, rule.profile, rule.reason, rule.action)
            for rule in rules.rules
            if rule.name in told
        ),
        applied=tuple(sorted(applied, key=lambda one: (one.rule, one.owner, one.kind))),
        before=tuple(sorted(usage, key=lambda one: (one.owner, one.kind))),
        modules=removed_modules(owners, sources_gone(gone, whole, rules)),
        packages=packages_gone(owners, gone),
    )
