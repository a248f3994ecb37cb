"""Slimming other files of some packages as an earlier slimming of the environment would.

Rules without a predicate look at one file. Those with one were asked about certain paths,
and told what all files answered: where the new files are asked about the same paths, and
answer the same, every decision stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimpack import app
from slimpack.config import DEFAULT_PROFILE, SlimConfig
from slimpack.slim.decisions import Decisions, with_others
from slimpack.slim.predicates import Files
from slimpack.slim.questions import Answers
from slimpack.slim.ruleset import Rules
from slimpack.slim.slimming import Change, Scope, meant_by
from slimpack.slimming import Slimming, of_installing, rules_of
from slimpack.tree import Entry, Tree, parents, symlink_entry
from slimpack.warm.noswap import NoSwap


@dataclass(frozen=True)
class Resumed:
    """A slimming of the new files alone, and what the earlier one decided for all."""

    slimming: Slimming
    old: Decisions
    changed: frozenset[str]
    owners: Mapping[str, str]

    def finished(self, tree: Tree) -> tuple[Tree, Decisions]:
        """Return the new files in their last form, and what is decided for all files now."""
        tree, done = self.slimming.shrunk(tree)
        mine = (path for path, owner in self.owners.items() if owner in self.changed)
        paths = {*mine, *done.before, *(path for path, _, _ in self.old.before)}
        return tree, with_others(
            self.old,
            self.changed,
            done.rules,
            done.answers,
            done.before,
            done.changes,
            self.owners,
            {path for path in paths if of_installing(path)},
        )


def resume(
    config: SlimConfig,
    old: Decisions,
    tree: Tree,
    sources: Mapping[str, Path],
    graph: Mapping[str, tuple[str, ...]],
    changed: frozenset[str],
    owners: Mapping[str, str],
    prefix: str,
) -> Resumed:
    """Decide about `tree`, the new files of the packages `changed`.

    old: what was decided with their old ones. sources: path in the tree -> file on disk
    that is exactly that. graph: of all packages. owners: path below the prefix -> package,
    before. Raises NoSwap where it is not certain that all else would stay as it was.
    """
    scope = Scope(
        prefix=prefix.strip("/"),
        graph=graph,
        on_disk=lambda entry: sources.get(entry.path) if tree.get(entry.path) is entry else None,
        spared=(app.OWNER,),
    )
    profile = config.profile or DEFAULT_PROFILE
    rules = rules_of(config, profile)
    files = scope.files(tree)
    drops = [rule for rule in rules.rules if rule.action == "drop" and not scope.blocker(rule)]
    meant = {rule.name: meant_by(rule, files, rules.keeps, scope) for rule in drops}
    taken: dict[str, str] = {}
    for rule in drops:
        if not rule.when:
            taken.update((path, rule.name) for path in meant[rule.name] if path not in taken)
    stays = {path: entry for path, entry in files.items() if path not in taken}
    asked = {rule.name: set(meant[rule.name]) for rule in drops if rule.when}
    _check_candidates(old, asked, changed, owners)
    _check_folders(old, asked, stays, changed, {rule.name for rule in drops if not rule.when})
    _check_resting(old, rules, files, scope, changed)

    before = {change.path: change.rule for change in old.changes if change.removed}
    for rule in drops:
        for path in meant[rule.name] if rule.when else ():
            if path not in taken and before.get(path) == rule.name:
                taken[path] = rule.name
    answers = _answers(old, stays, taken, scope, changed, owners)
    changes = (
        Change(path, files[path].owner, rule, files[path].size)
        for path, rule in sorted(taken.items())
    )
    slimming = Slimming(
        profile=profile,
        rules=rules,
        scope=scope,
        before=files,
        changes=tuple(changes),
        notes=(),
        questions=old.questions,
        answers=answers,
    )
    return Resumed(slimming, old, changed, owners)


def _check_candidates(
    old: Decisions,
    asked: Mapping[str, set[str]],
    changed: Collection[str],
    owners: Mapping[str, str],
) -> None:
    known = old.questions.candidates
    for rule in {*asked, *known}:
        mine = {path for path in known.get(rule, ()) if owners.get(path) in changed}
        if mine != asked.get(rule, set()):
            raise NoSwap(f"the rule {rule} means other files")


def _check_folders(
    old: Decisions,
    asked: Mapping[str, set[str]],
    stays: Mapping[str, Entry],
    changed: Collection[str],
    plain: Collection[str],
) -> None:
    """Raise NoSwap where a folder of candidates has, or has no longer, other files too.

    Whoever imports a candidate names the outermost folder without others.
    plain: rules that are asked first, and whose files no other rule sees.
    """
    gone = {change.path for change in old.changes if change.rule in plain}
    left = [path for path, owner, _ in old.before if owner in changed and path not in gone]
    for rule, candidates in old.questions.candidates.items():
        own = {*candidates, *asked.get(rule, ())}
        folders = {above for path in own for above in parents(path)}
        if _shared(left, own) & folders != _shared(stays, own) & folders:
            raise NoSwap("folders of tests hold other files")


def _check_resting(
    old: Decisions, rules: Rules, files: Mapping[str, Entry], scope: Scope, changed: Collection[str]
) -> None:
    """Raise NoSwap where a rule that rests means files, or none any more: a note tells of it."""
    before = {
        path: symlink_entry(path, "-", owner=owner)
        for path, owner, _ in old.before
        if owner in changed
    }
    for rule in rules.rules:
        if scope.blocker(rule) and bool(meant_by(rule, before, rules.keeps, scope)) != bool(
            meant_by(rule, files, rules.keeps, scope)
        ):
            raise NoSwap(f"the rule {rule.name} rests, and means other files")


def _shared(paths: Iterable[str], candidates: Collection[str]) -> set[str]:
    return {above for path in paths if path not in candidates for above in parents(path)}


def _answers(
    old: Decisions,
    stays: Mapping[str, Entry],
    taken: Collection[str],
    scope: Scope,
    changed: Collection[str],
    owners: Mapping[str, str],
) -> Answers:
    files = Files(stays, scope.on_disk, scope.prefix)
    new = old.questions.answers(old.questions.asked_of(files))
    for path, spared in old.questions.spared(files, taken).items():
        new.setdefault(path, []).extend(spared)
    before = {path: one for path, one in old.answers.items() if owners.get(path) in changed}
    if new != before:
        raise NoSwap("the new files use what slimming took, or no longer use what it left")
    return new
