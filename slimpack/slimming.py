"""Slimming an environment: from configuration to rules, and through a build.

::

    slimming = begin(config.slim, "safe", environment, relocated, tree, prefix)
    tree = slimming.dropped(tree)               # before bytecode is made
    tree, slimming = slimming.finished(tree)    # when it is there
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from slimpack import app
from slimpack.config import SlimConfig
from slimpack.cuda.arch import device_number, promise
from slimpack.env.dists import owned_dists
from slimpack.env.graph import dependencies
from slimpack.environment import Environment
from slimpack.errors import InputError
from slimpack.relocate import Relocated
from slimpack.slim.account import account
from slimpack.slim.bytecode import source_of
from slimpack.slim.cuda_owner import one_owner
from slimpack.slim.gpu import RULE as GPU_RULE
from slimpack.slim.gpu import TOOLS_RULE, Devices, architectures, trimmed
from slimpack.slim.questions import Answers, Questions
from slimpack.slim.record import RECORD, SlimRecord
from slimpack.slim.ruleset import Keep, Rule, Rules, fits, read_rules, shipped_rules
from slimpack.slim.shrink import shrink
from slimpack.slim.slimming import Change, Scope, choose, selector, without
from slimpack.trace.closure import keeps
from slimpack.trace.record import read_trace
from slimpack.tree import Entry, Tree, bytes_entry, under

_ASKED = "asked for under [slim], or on the command line"
# What pip and conda write about an installation (PEP 376, PEP 610).
_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
# In the names of compiled modules (PEP 3149), by platform.
_TRIPLES = ("aarch64-linux-gnu", "x86_64-linux-gnu")
_UNTOUCHED = Rule(
    "untouched", "the traced workload did not lead to it (docs/trace.md)", profile="traced"
)


@dataclass(frozen=True)
class Slimming:
    """The slimming of one environment, under way.

    before: its files by path below the prefix. changes: what was decided so far.
    notes: rules that rest, and why. devices: the only ones whose GPU code stays, None for all.
    questions, answers: see `slimpack.slim.slimming.Choice`.
    """

    profile: str
    rules: Rules
    scope: Scope
    before: dict[str, Entry]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    questions: Questions
    answers: Answers
    devices: Devices | None = None

    def dropped(self, tree: Tree) -> Tree:
        """Return the tree without what goes; bytecode of a source that goes, goes with it."""
        return without(tree, {change.path for change in self.changes}, self.scope.prefix)

    def finished(self, tree: Tree) -> tuple[Tree, Slimming]:
        """Return the tree in its last form, with the record, and the slimming with all changes."""
        tree, done = self.shrunk(tree)
        return tree.merge([record_entry(done.record)]), done

    def shrunk(self, tree: Tree) -> tuple[Tree, Slimming]:
        """Return the tree in its last form, and the slimming with all changes."""
        owned = one_owner(tree, self.rules, self.scope)
        trim = trimmed(owned.tree, self.rules, self.scope, self.devices)
        tree, more = shrink(trim.tree, self.rules, self.scope, trim.views)
        done = replace(
            self,
            changes=(*self.changes, *owned.changes, *trim.changes, *more),
            notes=(*self.notes, *owned.notes, *trim.notes),
        )
        return tree, done

    @property
    def promised(self) -> tuple[int, ...]:
        """The only devices that the result is for, () where nothing of others went."""
        named = (GPU_RULE.name, TOOLS_RULE.name)
        went = any(change.rule in named for change in self.changes)
        return self.devices.numbers if self.devices and went else ()

    def promises(self) -> tuple[str, ...]:
        """Say what the result holds less than a user may expect; nothing ran on a GPU."""
        return (promise(self.promised, verified=False),) if self.promised else ()

    @cached_property  # every file is looked at, and a build asks twice
    def account(self) -> SlimRecord:
        """What was done, every file counted as it was found."""
        return account(self.profile, self.scope.prefix, self.rules, self.before, self.changes)

    @cached_property
    def record(self) -> SlimRecord:
        """What was done, as it is kept in the result.

        Without bytecode and the records of installers, whose sizes depend on where the
        environment was installed: the same packages give the same record from any input.
        """
        before = {path: entry for path, entry in self.before.items() if not of_installing(path)}
        changes = [change for change in self.changes if change.path in before]
        return account(self.profile, self.scope.prefix, self.rules, before, changes)


def begin(
    config: SlimConfig,
    default: str,
    environment: Environment,
    moved: Relocated,
    tree: Tree,
    prefix: str,
) -> Slimming | None:
    """Decide what goes of the environment; None when nothing is asked for.

    default: the profile when the configuration names none. tree: that of `moved`, and the
    application, if any: what it imports counts. prefix: where the environment lies in it,
    "" for its root. Raises InputError for rules and names that do not exist, and for a
    profile that lacks what it needs.
    """
    profile = config.profile or default
    if config.gpu_ptx and not config.gpu_arch:
        raise InputError(
            "[slim] gpu_ptx has no meaning without gpu_arch",
            hint="all PTX stays where no architecture is named",
        )
    own = _own_rules(config)
    if profile == "none" and not own.rules:
        return None
    _check_trace(config, profile)
    scope = scope_of(environment, moved, prefix)
    _check_packages(config, scope)
    rules = rules_of(config, profile)
    devices = devices_of(config, scope, tree)
    choice = choose(tree, rules, scope)
    slimming = Slimming(
        profile=profile,
        rules=rules,
        scope=scope,
        before=scope.files(tree),
        changes=choice.changes,
        notes=choice.notes,
        questions=choice.questions,
        answers=choice.answers,
        devices=devices,
    )
    return _traced(slimming, tree, config.trace) if profile == "traced" else slimming


def record_entry(record: SlimRecord) -> Entry:
    """Return the record as a file of the result."""
    return bytes_entry(under(record.prefix, RECORD), record.to_json())


def of_installing(path: str) -> bool:
    """Tell whether a file is bytecode or an installer's: one that the record leaves out."""
    name = path.rpartition("/")[2]
    record = ".dist-info/" in path and name in _INSTALLERS
    return record or path.startswith("conda-meta/") or bool(source_of(path))


def _check_trace(config: SlimConfig, profile: str) -> None:
    if profile == "traced" and not config.trace:
        raise InputError(
            "the profile traced needs to know what the workload opens",
            hint="run `slimpack trace IMAGE -o trace.json`, and pass --trace trace.json",
        )
    if config.trace and profile != "traced":
        raise InputError(
            f"--trace has no meaning with the profile {profile}",
            hint="pass --profile traced, or put its files first: --compression estargz",
        )


def _traced(slimming: Slimming, tree: Tree, files: Sequence[Path]) -> Slimming:
    """Let go what is left by the other rules, but not in the closure of the traces."""
    scope = slimming.scope
    try:
        traces = [read_trace(path.read_bytes(), str(path)) for path in files]
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror or error}") from error
    inside = under(scope.prefix, "")
    opened = {path for trace in traces for path in trace.opened if path.startswith(inside)}
    if not any(path in tree for path in opened):
        raise InputError(
            f"{files[0]}: nothing that was opened there is in this environment",
            hint="trace an image of the same environment at the same prefix",
        )
    _check_machine(tree, opened)
    stays = keeps(tree, f"/{scope.prefix}", traces, owners=(app.OWNER,))
    means = selector(_UNTOUCHED, scope, slimming.rules.keeps)
    gone = {change.path for change in slimming.changes}
    more = (
        Change(path, entry.owner, _UNTOUCHED.name, entry.size)
        for path, entry in slimming.before.items()
        if path not in gone and under(scope.prefix, path) not in stays and means(path, entry)
    )
    rules = replace(slimming.rules, rules=(*slimming.rules.rules, _UNTOUCHED))
    return replace(slimming, rules=rules, changes=(*slimming.changes, *more))


def _check_machine(tree: Tree, opened: Iterable[str]) -> None:
    """Refuse traces of other platforms alone: their compiled modules have other names."""
    own = {triple for triple in _TRIPLES if any(triple in entry.path for entry in tree)}
    traced = {triple for triple in _TRIPLES if any(triple in path for path in opened)}
    if own and traced and own.isdisjoint(traced):
        (one, *_), (other, *_) = sorted(own), sorted(traced)
        raise InputError(
            f"the trace is of programs for {other}, and the environment is for {one}",
            hint="trace the image for that platform too (`slimpack trace IMAGE --platform`), and "
            "pass both: --trace FILE --trace FILE",
        )


def rules_of(config: SlimConfig, profile: str) -> Rules:
    """Return the rules that count, the user's own first."""
    found = _own_rules(config)
    found += shipped_rules()
    return found.of(profile).without(config.disable).resolved()


def devices_of(config: SlimConfig, scope: Scope, tree: Tree) -> Devices | None:
    """Return whose GPU code stays, None for everybody's; InputError for a wrong name."""
    try:
        devices = _devices(config)
    except ValueError as error:
        found = ", ".join(architectures(tree, scope)) or "none"
        raise InputError(
            f"[slim] gpu_arch: {error}", hint=f"the environment has GPU code for: {found}"
        ) from error
    return devices if devices.numbers else None


def _devices(config: SlimConfig) -> Devices:
    """Return the devices of `gpu_arch`; ValueError for a wrong name."""
    numbers = {device_number(name) for name in config.gpu_arch}
    return Devices(tuple(sorted(numbers)), config.gpu_ptx)


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
    if config.gpu_arch:
        rules += _gpu_rules(config)
    found = Rules(tuple(rules), tuple(keeps))
    for path in config.rules:
        found += read_rules(path)
    return found


def _gpu_rules(config: SlimConfig) -> tuple[Rule, ...]:
    try:
        return _devices(config).rules
    except ValueError:
        return (GPU_RULE,)  # `devices_of` tells of the name, with those that are there.


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
