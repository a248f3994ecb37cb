"""Which files go: rules and files in, a decision for every path out. Nothing is written.

A tree is slimmed in two steps, because bytecode is made between them: `choose` decides
what is dropped, so that nothing is compiled for a source that goes; `slimpack.slim.shrink`
makes what stays smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from slimpack.globs import matcher
from slimpack.slim.modules import module_at
from slimpack.slim.predicates import PREDICATES, Files
from slimpack.slim.questions import Answers, Questions
from slimpack.slim.ruleset import Keep, Rule, Rules, fits
from slimpack.tree import Entry, Kind, Tree, linked, parents, under


@dataclass(frozen=True)
class Change:
    """What a rule did to one path below the prefix: `bytes` fewer; removed or only smaller."""

    path: str
    owner: str
    rule: str
    bytes: int
    removed: bool = True


@dataclass(frozen=True)
class Scope:
    """What rules may know of an environment.

    prefix: where it lies in the tree, without slashes around it; "" for its root.
    graph: package -> packages that it depends on (`slimpack.env.graph`), for all packages.
    on_disk: gives the file on disk that is exactly an entry's content, else None.
    spared: owners whose files no rule is asked for, such as the application.
    """

    prefix: str
    graph: Mapping[str, Sequence[str]]
    on_disk: Callable[[Entry], Path | None] = lambda entry: None
    spared: tuple[str, ...] = ()

    def files(self, tree: Iterable[Entry]) -> dict[str, Entry]:
        """Return the entries of the environment that are no folders, by path below the prefix."""
        inside = under(self.prefix, "")
        return {
            entry.path[len(inside) :]: entry
            for entry in tree
            if entry.path.startswith(inside)
            and entry.kind is not Kind.DIRECTORY
            and entry.owner not in self.spared
        }

    def others(self, tree: Iterable[Entry]) -> dict[str, Entry]:
        """Return the files that no rule is asked for, by absolute path: what they use, is used."""
        inside = under(self.prefix, "")
        return {
            f"/{entry.path}": entry
            for entry in tree
            if entry.kind is Kind.FILE
            and (entry.owner in self.spared or not entry.path.startswith(inside))
        }

    def blocker(self, rule: Rule) -> str:
        """Return the package because of which a rule rests here, "" for none."""
        return rule.rests(sorted(name.removeprefix("pypi:") for name in self.graph))

    def dependents(self, names: Collection[str]) -> set[str]:
        """Return the packages with such a name (globs) and all that depend on one of them."""
        found = {name for name in self.graph if fits(name.removeprefix("pypi:"), tuple(names))}
        while (
            more := {name for name, needs in self.graph.items() if found.intersection(needs)}
            - found
        ):
            found |= more
        return found


@dataclass(frozen=True)
class Choice:
    """What `choose` decided.

    notes: rules that rest, and why. questions: what predicates asked the files that no rule
    without one took. answers: what these answered.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    questions: Questions
    answers: Answers


def choose(tree: Tree, rules: Rules, scope: Scope) -> Choice:
    """Decide which files of the environment in `tree` go; what the others in it use, stays.

    Rules without a predicate come first, in their order, then those with one, which see
    what is left; the first that takes a file is the one that is told. Then links go whose
    target has gone. Folders are no concern: a tree need not list them.
    """
    files = scope.files(tree)
    taken: dict[str, str] = {}
    notes = tuple(
        f"the rule {rule.name!r} rests: the environment has {blocker}"
        for rule in rules.rules
        if (blocker := scope.blocker(rule)) and meant_by(rule, files, rules.keeps, scope)
    )
    drops = [
        (rule, meant_by(rule, files, rules.keeps, scope))
        for rule in rules.rules
        if rule.action == "drop" and not scope.blocker(rule)
    ]
    for rule, candidates in drops:
        if not rule.when:
            taken.update((path, rule.name) for path in candidates if path not in taken)
    asked = [(rule, candidates) for rule, candidates in drops if rule.when and candidates]
    stays = Files({**files, **scope.others(tree)}, scope.on_disk, scope.prefix).without(taken)
    questions = Questions.of(asked, stays)
    stays = asked_files = questions.asked_of(stays)
    answers = questions.answers(stays)
    for rule, candidates in asked:
        left = [path for path in candidates if path not in taken]
        may_go = PREDICATES[rule.when](rule, left, stays) if left else set()
        taken.update((path, rule.name) for path in left if path in may_go)
        stays = stays.without(taken)
    for path, spared in questions.spared(asked_files, taken).items():
        answers.setdefault(path, []).extend(spared)
    taken.update(_dangling(files, taken))
    changes = (
        Change(path, files[path].owner, rule, files[path].size) for path, rule in taken.items()
    )
    return Choice(
        tuple(sorted(changes, key=lambda change: change.path)),
        notes,
        questions,
        answers,
    )


def without(tree: Tree, paths: Collection[str], prefix: str) -> Tree:
    """Return the tree without those paths below `prefix`, and without folders left empty."""
    gone = {under(prefix, path) for path in paths}
    if not gone:
        return tree
    above = {path.rpartition("/")[0] for path in gone}
    left = [entry for entry in tree if entry.path not in gone]
    while True:
        filled = {entry.path.rpartition("/")[0] for entry in left}
        emptied = {
            entry.path
            for entry in left
            if entry.kind is Kind.DIRECTORY and entry.path in above and entry.path not in filled
        }
        if not emptied:
            return Tree(left)
        above |= {path.rpartition("/")[0] for path in emptied}
        left = [entry for entry in left if entry.path not in emptied]


def selector(rule: Rule, scope: Scope, keeps: Sequence[Keep] = ()) -> Callable[[str, Entry], bool]:
    """Return what tells whether a rule means a file, predicates aside.

    keeps: what it may not mean; of a rule that takes whole packages, only the firm ones.
    """
    chosen = matcher(rule.paths)
    kept = _kept([keep for keep in keeps if keep.firm or not rule.whole])
    spared = scope.dependents(rule.spare) if rule.spare else set()

    @cache
    def concerned(owner: str) -> bool:
        return owner not in spared and rule.concerns(owner.removeprefix("pypi:"))

    return lambda path, entry: concerned(entry.owner) and chosen(path) and not kept(path, entry)


def meant_by(
    rule: Rule, files: Mapping[str, Entry], keeps: Sequence[Keep], scope: Scope
) -> list[str]:
    """Return the paths of `files` that a rule means, predicates aside."""
    means = selector(rule, scope, keeps)
    return [path for path, entry in files.items() if means(path, entry)]


def _kept(keeps: Sequence[Keep]) -> Callable[[str, Entry], bool]:
    deciders = [(matcher(keep.paths), keep.packages) for keep in keeps]

    def kept(path: str, entry: Entry) -> bool:
        return any(
            (not packages or fits(entry.owner.removeprefix("pypi:"), packages)) and decide(path)
            for decide, packages in deciders
        )

    return kept


def _dangling(files: Mapping[str, Entry], taken: Mapping[str, str]) -> dict[str, str]:
    """Return the links that lead to what goes, through other links too, with its rule."""
    gone = dict(taken)
    links = {path: entry.link for path, entry in files.items() if entry.link}
    folders = {above for path in files for above in parents(path)}
    while True:
        left = {above for path in files if path not in gone for above in parents(path)}
        found = {}
        below: dict[str, str] = {}
        for path, link in links.items():
            target = linked(path, link)
            if path in gone:
                continue
            if target in gone:
                found[path] = gone[target]
            elif target in folders and target not in left:
                below = below or _first_below(gone)
                found[path] = below[target]
        if not found:
            return {path: rule for path, rule in gone.items() if path not in taken}
        gone.update(found)


def _first_below(gone: Mapping[str, str]) -> dict[str, str]:
    """Return folder -> the rule of the first path that goes below it."""
    found: dict[str, str] = {}
    for path, rule in gone.items():
        for above in parents(path):
            found.setdefault(above, rule)
    return found


def removed_modules(files: Collection[str], gone: Collection[str]) -> tuple[str, ...]:
    """Return the top-level modules of which nothing that Python can import is left.

    files: all paths below the prefix, before. gone: those that went.
    """
    tops = {path: top for path in files if (top := _top(path))}
    left = {top for path, top in tops.items() if path not in gone}
    return tuple(sorted(set(tops.values()) - left))


@lru_cache(maxsize=1 << 17)
def _top(path: str) -> str:
    """Return the top-level module that a path belongs to, "" for none; asked again and again."""
    module = module_at(path)
    return module.top if module else ""
