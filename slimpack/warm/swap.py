"""Other versions of some packages in a part that an earlier build made.

Only these packages are installed, beside a Python that is kept for it, and only
their files are relocated, slimmed and compiled. That gives what a build from nothing
gives as long as no other package's files would come out differently: so no path may
change hands, nothing may take part in activation, no library may come or go, and the
new files have to answer the questions of slimming as the old ones did. Whatever does
not fit is a `NoSwap`, and the build starts from nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimpack import content
from slimpack.bytecode import Compiler, with_bytecode
from slimpack.config import Config
from slimpack.cuda.found import cuda_version
from slimpack.env.locks.lock import Lock
from slimpack.env.meta import Installed, read_installed
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.environment import Environment
from slimpack.installing import installed_at
from slimpack.means import Means
from slimpack.part import Part, build_paths
from slimpack.platforms import SUBDIRS, here
from slimpack.relocate import Relocated, relocate
from slimpack.result import Slimmed
from slimpack.slim.bytecode import BytecodeReport, source_of
from slimpack.slim.decisions import Decisions
from slimpack.slimming import record_entry
from slimpack.tree import Tree, identified, under
from slimpack.verify.prefixes import scanned
from slimpack.warm.closure import closure, depends
from slimpack.warm.fits import check_files, check_packages
from slimpack.warm.interpreter import kept_compiler, kept_python
from slimpack.warm.noswap import NoSwap
from slimpack.warm.remembered import Kept, Opener, Remembered, part_of
from slimpack.warm.resume import Resumed, resume

_HISTORY = "conda-meta/history"


@dataclass(frozen=True)
class Swapped:
    """A part with other packages, what to keep of it, and what writes its bytecode.

    changed: the names of the other packages.
    """

    part: Part
    kept: Kept
    compiler: Compiler | None
    changed: frozenset[str]


def swap(
    old: Remembered,
    packages: Mapping[str, str],
    lock: Lock,
    *,
    config: Config,
    prefix: str,
    means: Means,
    scratch: Path,
    opener: Opener,
) -> Swapped:
    """Return `old` with the packages of `lock` that it does not have.

    packages: name -> identity, for all of `lock`, whose names are those of `old`.
    opener: gives the bytes of files that stay. Raises NoSwap, and InstallError for
    packages that cannot be had.
    """
    changed = frozenset(name for name in packages if packages[name] != old.packages[name])
    if lock.platform != SUBDIRS.get(here()) or old.part["engine"] != RattlerEngine.name:
        raise NoSwap("for another platform, or installed by another engine")
    if not changed:
        raise NoSwap("nothing to swap")
    staging = installed_at(scratch)
    beside = _beside(lock, packages, changed, config, means)
    installed = _installed(lock, changed, staging, beside, config, means)
    check_packages(old, installed, changed)

    spill = scratch / "rewritten"
    spill.mkdir()
    moved = relocate(
        *(staging, prefix),
        installed=installed,
        scratch=spill,
        programs=old.programs,
        owners=changed,
    )
    mine = _only(moved, changed, min(packages), prefix)
    check_files(old, mine.tree, changed, prefix)
    environment = _environment(old, installed, changed, staging)
    compiler = (
        kept_compiler(lock, packages, means)
        if beside
        else content.compiler_of(replace(environment, installed=installed))
    )
    resumed = _resumed(old, mine, lock, changed, config, prefix)
    tree = resumed.slimming.dropped(mine.tree) if resumed else mine.tree
    tree, bytecode = with_bytecode(
        tree,
        compiler,
        dest_prefix=prefix,
        scratch=scratch,
        checked=False,
        progress=means.progress,
        sources=mine.sources,
    )
    decisions = None
    if resumed:
        tree, decisions = resumed.finished(tree)
    tree = content.with_true_records(tree, environment, mine, prefix).map(identified)
    failed = _failed(old, bytecode, changed, prefix)
    facts = _facts(old, lock, installed, decisions, replace(bytecode, failed=failed), tree)
    forbidden = build_paths(scratch, means.cache, facts["placeholders"])
    tree = scanned(tree, forbidden, allow=config.image.allow_build_paths)
    whole = _joined(old, tree, changed, decisions, opener)
    paths = _paths(old, mine, changed, prefix)
    kept = Kept(packages, paths, old.links, old.programs, old.fixed, decisions)
    return Swapped(part_of(facts, whole), kept, compiler, changed)


def _beside(
    lock: Lock,
    packages: Mapping[str, str],
    changed: frozenset[str],
    config: Config,
    means: Means,
) -> Path | None:
    """Return the record of a Python that is installed elsewhere, None where that will not do.

    Packages that are installed for a Python need its record, and nothing of its files. A
    Python whose own packages change is another one; packages from a folder have other URLs
    than the record.
    """
    python = lock.get("python")
    if python is None or config.env.packages_from or changed & closure(lock, ("python",)):
        return None
    return kept_python(lock, packages, means) / "conda-meta" / f"{python.dist}.json"


def _installed(
    lock: Lock,
    changed: frozenset[str],
    staging: Path,
    beside: Path | None,
    config: Config,
    means: Means,
) -> Installed:
    """Install the changed packages, and Python, or what stands for it; return what is there."""
    engine = RattlerEngine(means.cache.packages, means.cache.repodata, config.env.packages_from)
    names, there = changed | closure(lock, ("python",)), []
    if beside is not None:
        there = [staging / "conda-meta" / beside.name]
        there[0].parent.mkdir(parents=True)
        shutil.copyfile(beside, there[0])
        names = changed | {"python"}
    engine.install(lock, staging, only=names, there=there, progress=means.progress)
    return read_installed(staging)


def _only(moved: Relocated, changed: frozenset[str], first: str, prefix: str) -> Relocated:
    """Return what was relocated of those packages.

    first: the package of the whole environment that has the sign of one (`relocate`).
    """
    history = under(prefix, _HISTORY)
    tree = moved.tree.filter(
        lambda entry: entry.owner in changed and (entry.path != history or entry.owner == first)
    )
    paths = {entry.path for entry in tree}
    if any(under(prefix, path) in paths for path in moved.unmoved):
        raise NoSwap("a file that cannot be rewritten")
    return replace(
        moved,
        tree=tree,
        sources={path: file for path, file in moved.sources.items() if path in paths},
        verified=moved.verified & paths,
        unmoved=(),
    )


def _environment(
    old: Remembered, installed: Installed, changed: frozenset[str], staging: Path
) -> Environment:
    return Environment(
        source=str(old.part["source"]),
        engine=str(old.part["engine"]),
        prefix=staging,
        origin=str(staging),
        installed=replace(
            installed,
            packages=tuple(one for one in installed.packages if one.name in changed),
        ),
    )


def _resumed(
    old: Remembered,
    mine: Relocated,
    lock: Lock,
    changed: frozenset[str],
    config: Config,
    prefix: str,
) -> Resumed | None:
    if old.decisions is None:
        return None
    graph = {name: tuple(sorted(needs)) for name, needs in depends(lock).items()}
    return resume(
        config.slim, old.decisions, mine.tree, mine.sources, graph, changed, old.paths, prefix
    )


def _joined(
    old: Remembered,
    new: Tree,
    changed: frozenset[str],
    decisions: Decisions | None,
    opener: Opener,
) -> Tree:
    """Return the files that stay, the new ones, and the record of what was slimmed."""
    record = [record_entry(decisions.record)] if decisions else []
    replaced = {entry.path for entry in record}
    stay = (one for one in old.entries(opener, changed) if one.path not in replaced)
    try:
        return Tree([*stay, *new, *record])
    except ValueError as error:
        raise NoSwap(str(error)) from error


def _facts(
    old: Remembered,
    lock: Lock,
    installed: Installed,
    decisions: Decisions | None,
    bytecode: BytecodeReport,
    tree: Tree,
) -> dict[str, Any]:
    """Return what is known of the part now; see `slimpack.warm.remembered.facts_of`."""
    cached = sum(bool(source_of(entry.path)) for entry in tree)
    report = BytecodeReport(kept=cached - bytecode.compiled, compiled=bytecode.compiled)
    placeholders = {*old.part["placeholders"], *installed.placeholders}
    return {
        **old.part,
        "titles": {package.name: package.dist for package in lock.packages},
        "cuda": cuda_version(tuple((one.name, one.version) for one in lock.packages)),
        "placeholders": tuple(sorted(placeholders)),
        "bytecode": replace(report, failed=bytecode.failed),
        "slimmed": Slimmed.of(decisions.account if decisions else None),
    }


def _failed(
    old: Remembered, new: BytecodeReport, changed: frozenset[str], prefix: str
) -> tuple[tuple[str, str], ...]:
    """Return the sources of all packages that cannot be compiled, as a report has them."""
    inside = f"/{under(prefix, '')}"
    before = old.part["bytecode"].failed
    stay = [one for one in before if old.paths.get(one[0].removeprefix(inside)) not in changed]
    return tuple(sorted((*stay, *new.failed)))


def _paths(
    old: Remembered, mine: Relocated, changed: frozenset[str], prefix: str
) -> dict[str, str]:
    inside = under(prefix, "")
    kept = {path: owner for path, owner in old.paths.items() if owner not in changed}
    return {**kept, **{one.path.removeprefix(inside): one.owner for one in mine.tree}}
