"""Slimming an environment: from configuration to rules, and through a build.

::

    slimming = begin(config.slim, "safe", environment, relocated, prefix)
    tree = slimming.dropped(tree)        # before bytecode is made
    tree, record = slimming.finished(tree)    # when it is there
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slimpack import app
from slimpack.config import SlimConfig
from slimpack.env.dists import owned_dists
from slimpack.env.graph import dependencies
from slimpack.environment import Environment
from slimpack.errors import InputError
from slimpack.relocate import Relocated
from slimpack.slim.account import account
from slimpack.slim.record import RECORD, SlimRecord
from slimpack.slim.ruleset import Keep, Rule, Rules, fits, read_rules, shipped_rules
from slimpack.slim.shrink import shrink
from slimpack.slim.slimming import Change, Scope, choose, without
from slimpack.tree import Entry, Tree, bytes_entry, under

_ASKED = "asked for under [slim], or on the command line"


@dataclass(frozen=True)
class Slimming:
    """The slimming of one environment, under way.

    before: its files by path below the prefix. changes: what was decided so far.
    notes: rules that rest, and why.
    """

    profile: str
    rules: Rules
    scope: Scope
    before: dict[str, Entry]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def dropped(self, tree: Tree) -> Tree:
        """Return the tree without what goes; bytecode of a source that goes, goes with it."""
        return without(tree, {change.path for change in self.changes}, self.scope.prefix)

    def finished(self, tree: Tree) -> tuple[Tree, Slimming]:
        """Return the tree with bytecode in its last form, and the slimming with all changes."""
        tree, more = shrink(tree, self.rules, self.scope)
        return tree, replace(self, changes=(*self.changes, *more))

    @property
    def record(self) -> SlimRecord:
        """What was done, as it is kept in the result."""
        return account(self.profile, self.scope.prefix, self.rules, self.before, self.changes)

    def record_entry(self) -> Entry:
        """Return the file in the result that tells what was done."""
        return bytes_entry(under(self.scope.prefix, RECORD), self.record.to_json())


def begin(
    config: SlimConfig, default: str, environment: Environment, moved: Relocated, prefix: str
) -> Slimming | None:
    """Decide what goes of the environment; None when nothing is asked for.

    default: the profile when the configuration names none. prefix: where the environment
    lies in the tree of `moved`, "" for its root. Raises InputError for rules and names
    that do not exist, and for a profile that lacks what it needs.
    """
    profile = config.profile or default
    own = _own_rules(config)
    if profile == "none" and not own.rules:
        return None
    scope = scope_of(environment, moved, prefix)
    _check_packages(config, scope)
    rules = rules_of(config, profile)
    choice = choose(moved.tree, rules, scope)
    return Slimming(profile, rules, scope, scope.files(moved.tree), choice.changes, choice.notes)


def rules_of(config: SlimConfig, profile: str) -> Rules:
    """Return the rules that count, the user's own first."""
    found = _own_rules(config)
    found += shipped_rules()
    return found.of(profile).without(config.disable).resolved()


def scope_of(environment: Environment, moved: Relocated, prefix: str) -> Scope:
    """Return what rules may know of the environment."""
    installed = environment.installed
    dists = owned_dists(environment.prefix, installed.owners)
    return Scope(
        prefix=prefix.strip("/"),
        graph=dependencies(installed, dists),
        on_disk=lambda entry: (
            moved.sources.get(entry.path) if moved.tree.get(entry.path) is entry else None
        ),
        spared=(app.OWNER,),
    )


def _own_rules(config: SlimConfig) -> Rules:
    rules: list[Rule] = []
    keeps: list[Keep] = []
    if config.keep:
        keeps.append(Keep("keep", _ASKED, config.keep, firm=True))
    if config.drop:
        rules.append(Rule("drop", _ASKED, paths=config.drop))
    if config.drop_packages:
        rules.append(Rule("drop-packages", _ASKED, packages=config.drop_packages))
    for package in config.packages:
        if package.keep:
            keeps.append(
                Keep(f"keep in {package.name}", _ASKED, package.keep, (package.name,), firm=True)
            )
        if package.drop:
            name = f"drop in {package.name}"
            rules.append(Rule(name, _ASKED, paths=package.drop, packages=(package.name,)))
    found = Rules(tuple(rules), tuple(keeps))
    for path in config.rules:
        found += read_rules(path)
    return found


def _check_packages(config: SlimConfig, scope: Scope) -> None:
    there = [owner.removeprefix("pypi:") for owner in scope.graph]
    wanted: Iterable[tuple[str, str]] = (
        *(("drop_packages", name) for name in config.drop_packages),
        *(("packages", package.name) for package in config.packages),
    )
    for key, name in wanted:
        if not any(fits(package, (name,)) for package in there):
            raise InputError(
                f"[slim] {key}: the environment has no package {name!r}",
                hint="`slimpack slim INPUT` lists its packages",
            )
