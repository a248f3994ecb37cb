"""Slimming rules: data in TOML files, which people can read and extend.

``slimpack/slim/rules/*.toml`` holds those of the profiles; each profile has the rules
of the ones before it in `PROFILES`. A file is a list of tables ``[[rule]]``::

    name = "headers"
    profile = "safe"
    reason = "only compilers read them"
    paths = ["include", "**/*.h", "!**/licenses"]  # below the prefix (`slimpack.globs`)
    packages = ["numpy"]            # only files of these packages; globs
    unless = ["gcc_impl_*"]         # the rule rests when the environment has one of these
    action = "drop"                 # or strip-debug, strip-symbols, bytecode-only, one-owner
    when = "unneeded"               # a predicate of `slimpack.slim.predicates`
    ignore = ["**/cpp_extension.py"]  # files that the predicate does not look into
    spare = ["numba"]               # not these packages, nor what depends on them

and of tables ``[[keep]]`` (name, reason, paths) with what no rule may take. A table
``[groups]`` names lists of packages, which rules of any file can use as ``"@name"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from slimpack.errors import InputError
from slimpack.toml import Table, parse_toml, read_toml

Action = Literal["drop", "strip-debug", "strip-symbols", "bytecode-only", "one-owner", "gpu-arch"]
PROFILES = ("none", "safe", "serve", "tight", "traced")
ACTIONS: tuple[Action, ...] = (
    "drop", "strip-debug", "strip-symbols", "bytecode-only", "one-owner",
)  # fmt: skip
"""Those that rule files can name; "gpu-arch" is asked for by the configuration alone."""
When = Literal[
    "", "unneeded", "unmentioned", "unopened", "unimported", "unimported-at-start", "zoneinfo"
]
PREDICATES: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Rule:
    """One rule; see the head of this module.

    profile: the first that has it, "" for the user's own, which always count.
    """

    name: str
    reason: str
    profile: str = ""
    paths: tuple[str, ...] = ("**",)
    packages: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    action: Action = "drop"
    when: When = ""
    ignore: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    def concerns(self, owner: str) -> bool:
        """Tell whether files of that package can be meant."""
        return not self.packages or fits(owner, self.packages)

    @property
    def whole(self) -> bool:
        """Whether it takes packages as a whole."""
        return bool(self.packages) and self.paths == ("**",)

    def rests(self, packages: Sequence[str]) -> str:
        """Return the package of the environment because of which the rule rests, else ""."""
        return next((name for name in packages if fits(name, self.unless)), "")


@dataclass(frozen=True)
class Keep:
    """Paths that no rule may take.

    packages: only those of these packages; globs. firm: not even a rule that takes whole
    packages, whose licences and records else go with them.
    """

    name: str
    reason: str
    paths: tuple[str, ...]
    packages: tuple[str, ...] = ()
    firm: bool = False


@dataclass(frozen=True)
class Rules:
    """Rules in the order in which they are asked; the first that takes a file is told of it.

    groups: name -> packages.
    """

    rules: tuple[Rule, ...] = ()
    keeps: tuple[Keep, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, profile: str) -> Rules:
        """Return those of a profile and of the ones before it, and the user's."""
        level = PROFILES.index(profile)
        wanted = ("", *PROFILES[1 : level + 1])
        return replace(self, rules=tuple(rule for rule in self.rules if rule.profile in wanted))

    def __add__(self, other: Rules) -> Rules:
        """Return both; a name that is there already is an error of the second."""
        known = {rule.name for rule in self.rules}
        for rule in other.rules:
            if rule.name in known:
                raise InputError(
                    f"there is a slimming rule {rule.name!r} already", hint="choose another name"
                )
        return Rules(
            self.rules + other.rules, self.keeps + other.keeps, {**self.groups, **other.groups}
        )

    def without(self, names: Sequence[str]) -> Rules:
        """Return the rules but those named; InputError for a name that no rule has."""
        known = {rule.name for rule in self.rules}
        for name in names:
            if name not in known:
                raise InputError(
                    f"[slim] disable: there is no rule {name!r}",
                    hint="`slimpack slim --rules` lists them",
                )
        return replace(self, rules=tuple(rule for rule in self.rules if rule.name not in names))

    def resolved(self) -> Rules:
        """Return the rules with the packages of groups in place of their names."""
        return replace(self, rules=tuple(_resolved(rule, self.groups) for rule in self.rules))


def shipped_rules() -> Rules:
    """Return the rules that come with slimpack, files in order of name."""
    folder = files("slimpack.slim") / "rules"
    found = Rules()
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name.endswith(".toml"):
            found += parse_rules(item.read_text(encoding="utf-8"), item.name)
    return found


def read_rules(path: Path) -> Rules:
    """Read a rule file of the user's; InputError with file and key for what is wrong."""
    return _rules(read_toml(path), str(path))


def parse_rules(text: str, where: str) -> Rules:
    """Parse a rule file; `where` names it in errors."""
    return _rules(parse_toml(text, where), where)


def _rules(data: Mapping[str, Any], where: str) -> Rules:
    top = Table(data, where, "")
    rules = tuple(_rule(table) for table in top.tables("rule"))
    keeps = tuple(_keep(table) for table in top.tables("keep"))
    groups = dict(_group(top.table("groups"), name) for name in data.get("groups") or ())
    top.finish()
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: two rules are called {name!r}", hint="rename one of them")
    return Rules(rules, keeps, groups)


def _group(table: Table, name: str) -> tuple[str, tuple[str, ...]]:
    return name, table.strings(name)


def _resolved(rule: Rule, groups: Mapping[str, tuple[str, ...]]) -> Rule:
    def expand(names: tuple[str, ...]) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            if not name.startswith("@"):
                found.append(name)
            elif name[1:] in groups:
                found += groups[name[1:]]
            else:
                raise InputError(
                    f"the slimming rule {rule.name!r} names the group {name!r}, which is none",
                    hint=f"known: {', '.join(f'@{group}' for group in sorted(groups))}",
                )
        return tuple(found)

    return replace(
        rule,
        packages=expand(rule.packages),
        unless=expand(rule.unless),
        spare=expand(rule.spare),
    )


def _rule(table: Table) -> Rule:
    rule = Rule(
        name=_needed(table, "name"),
        reason=_needed(table, "reason"),
        profile=table.choice("profile", ("", *PROFILES[1:]), ""),
        paths=table.strings("paths") or ("**",),
        packages=table.strings("packages"),
        unless=table.strings("unless"),
        action=table.choice("action", ACTIONS, "drop"),
        when=table.choice("when", PREDICATES, ""),
        ignore=table.strings("ignore"),
        spare=table.strings("spare"),
    )
    table.finish()
    if rule.action == "drop" and rule.paths == ("**",) and not (rule.packages or rule.when):
        table.fail("paths", "is missing: such a rule would take everything")
    if rule.action != "drop" and rule.when:
        table.fail("when", "goes with the action drop only")
    return rule


def _keep(table: Table) -> Keep:
    keep = Keep(
        _needed(table, "name"),
        _needed(table, "reason"),
        table.strings("paths") or ("**",),
        table.strings("packages"),
    )
    if keep.paths == ("**",) and not keep.packages:
        table.fail("paths", "is missing: it would keep everything")
    table.finish()
    return keep


def _needed(table: Table, key: str) -> str:
    value = table.string(key)
    if not value.strip():
        table.fail(key, "is missing")
    return value


def fits(name: str, globs: Sequence[str]) -> bool:
    """Tell whether any of the globs is that of a package's name."""
    return any(fnmatchcase(name, glob) for glob in globs)
