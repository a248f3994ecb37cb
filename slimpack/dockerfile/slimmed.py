"""Which slimming rules plain patterns can express."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

from slimpack.config import SlimConfig
from slimpack.dockerfile.patterns import Term, glob_terms
from slimpack.globs import matcher
from slimpack.slim.ruleset import Rule, Rules, fits, read_rules, shipped_rules

Drops = tuple[tuple[str, tuple[Term, ...]], ...]
Keeps = tuple[tuple[Term, ...], ...]

_ALWAYS = (
    "it searches every byte for build paths, runs the image's modules and your smoke tests "
    "before it delivers, and makes the same bytes each time",
    "it groups packages into layers that are shared and pushed apart from each other; here all "
    "of the environment is one layer",
    "it makes equal files hard links of each other",
)


def slimmed(
    config: SlimConfig, packages: Sequence[str], paths: Sequence[str], default: str = "safe"
) -> tuple[Drops, Keeps, tuple[str, ...]]:
    """Return rules as terms, what stays all the same, and what slimpack does beyond, as sentences.

    packages: the environment's conda packages. paths: its files, below the prefix; patterns
    that none of them fits are left out. Of a rule whose decision needs more than a
    path (who owns a file, what imports it) nothing is taken.
    """
    profile = config.profile or default
    if profile == "none":
        return (), (), _ALWAYS
    rules = reduce(Rules.__add__, map(read_rules, config.rules), shipped_rules())
    rules = rules.of(profile).without(config.disable).resolved()
    plain = [rule for rule in rules.rules if _is_plain(rule, packages)]
    asked = [(rule.name, rule.paths) for rule in plain] + [("[slim] drop", config.drop)]
    drops = [(name, terms) for name, globs in asked if (terms := _fitting(globs, paths))]
    keeps = [keep.paths for keep in rules.keeps]
    keeps += [config.keep, *(package.keep for package in config.packages)]
    kept = filter(None, (_fitting(globs, paths) for globs in keeps))
    return tuple(drops), tuple(kept), (*_beyond(rules, plain, packages, config), *_ALWAYS)


def _fitting(globs: Sequence[str], paths: Sequence[str]) -> tuple[Term, ...]:
    """Return those of the globs that fit any of the paths; () where none chooses one."""
    used = [glob for glob in globs if any(map(matcher([glob.lstrip("!")]), paths))]
    return tuple(glob_terms(used)) if any(map(matcher(used), paths)) else ()


def _is_plain(rule: Rule, packages: Sequence[str]) -> bool:
    """Tell whether its paths alone say what it takes from these packages."""
    return (
        rule.action == "drop"
        and not (rule.when or rule.packages or rule.rests(packages))
        and not any(fits(name, rule.spare) for name in packages)
    )


def _beyond(
    rules: Rules, plain: Sequence[Rule], packages: Sequence[str], config: SlimConfig
) -> Iterator[str]:
    rest = [rule for rule in rules.rules if rule not in plain and not rule.rests(packages)]
    dropping = [rule.name for rule in rest if rule.action == "drop"]
    if dropping:
        yield f"it drops what these rules take, too: {', '.join(dropping)}"
    shortening = [rule.name for rule in rest if rule.action != "drop"]
    if shortening:
        yield f"it shortens files by {', '.join(shortening)}"
    if config.drop_packages or any(package.drop for package in config.packages):
        yield "it obeys drop_packages, and drop under [slim.packages]"
    if config.gpu_arch:
        yield f"it leaves GPU code for {', '.join(config.gpu_arch)} only"
