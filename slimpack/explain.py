"""What slimming would do, and why a package is there: questions that build nothing."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path

from slimpack import content
from slimpack.bytecode import with_bytecode
from slimpack.cache import Cache
from slimpack.config import DEFAULT_GLIBC, Config
from slimpack.environment import Environment, decide, locate, platform_of, provide
from slimpack.errors import InputError
from slimpack.progress import SILENT, Progress
from slimpack.relocate import Relocated
from slimpack.slim.modules import module_at
from slimpack.slim.needs import (
    Need,
    import_needs,
    library_needs,
    metadata_needs,
    unneeded_packages,
)
from slimpack.slim.predicates import Files
from slimpack.slim.record import SlimRecord
from slimpack.slim.slimming import Change, Scope
from slimpack.slimming import begin, scope_of
from slimpack.stages import Stages
from slimpack.tree import Tree

# Where an image would have it; only messages and records tell of it.
_PREFIX = "/opt/env"


@dataclass(frozen=True)
class PackageUse:
    """A package of the environment; sizes in bytes.

    needed: whether a file that stays links to it or imports from it, for the sake of a
        package that is wanted for itself.
    wanted: nothing depends on it, so somebody asked for it.
    data: it has neither libraries nor modules, and is read by its path if at all.
    needs: who needs it, and by what.
    """

    name: str
    size: int
    needed: bool
    wanted: bool
    data: bool
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Preview:
    """What slimming an environment would do. changes: each path, sorted."""

    source: str
    record: SlimRecord
    changes: tuple[Change, ...]
    packages: tuple[PackageUse, ...]
    notes: tuple[str, ...]


def preview(config: Config, *, cache: Cache, progress: Progress = SILENT) -> Preview:
    """Slim the environment that `config` describes, and tell of it; the tree is thrown away.

    Raises the children of SlimpackError as a build does.
    """
    with cache.scratch() as scratch:
        environment, relocated = _relocated(config, cache, scratch, progress)
        slimming = begin(config.slim, "safe", environment, relocated, relocated.tree, _PREFIX)
        if slimming is None:
            scope = scope_of(environment, relocated, _PREFIX)
            packages = _uses(relocated.tree, scope)
            return Preview(environment.source, SlimRecord("none", ""), (), packages, ())
        tree = slimming.dropped(relocated.tree)
        # Asked while the sources are there: what they import counts wherever bytecode stays.
        packages = _uses(tree, slimming.scope)
        tree, _ = with_bytecode(
            tree,
            content.compiler_of(environment),
            dest_prefix=_PREFIX,
            scratch=scratch,
            checked=False,
            progress=progress,
            sources=relocated.sources,
        )
        _, slimming = slimming.finished(tree)
        return Preview(
            source=environment.source,
            record=slimming.account,
            changes=tuple(sorted(slimming.changes, key=lambda change: (change.path, change.rule))),
            packages=packages,
            notes=(*slimming.notes, *slimming.promises()),
        )


def why(config: Config, package: str, *, cache: Cache, progress: Progress = SILENT) -> PackageUse:
    """Tell who needs a package of the environment that `config` describes.

    What slimming takes away needs nothing. Raises InputError when there is none of that name.
    """
    with cache.scratch() as scratch:
        environment, relocated = _relocated(config, cache, scratch, progress)
        slimming = begin(config.slim, "safe", environment, relocated, relocated.tree, _PREFIX)
        tree = slimming.dropped(relocated.tree) if slimming else relocated.tree
        uses = _uses(tree, scope_of(environment, relocated, _PREFIX))
    found = {use.name: use for use in uses}
    for name in (package, f"pypi:{package}"):
        if name in found:
            return found[name]
    raise InputError(
        f"the environment has no package {package!r}",
        hint="`slimpack slim INPUT` lists its packages",
    )


def _relocated(
    config: Config, cache: Cache, scratch: Path, progress: Progress
) -> tuple[Environment, Relocated]:
    located = locate(config, scratch, progress)
    platform, glibc = platform_of(located, config), config.env.glibc or DEFAULT_GLIBC
    stage = Stages()
    planned = decide(located, config, platform, glibc, cache=cache, progress=progress, stage=stage)
    environment = provide(
        planned, config, cache=cache, scratch=scratch, progress=progress, stage=stage
    )
    return environment, content.relocated(environment, _PREFIX, scratch)


def _uses(tree: Tree, scope: Scope) -> tuple[PackageUse, ...]:
    """Return every package with what needs it, the biggest first."""
    files = Files(scope.files(tree), scope.on_disk, scope.prefix)
    needs = (*library_needs(files), *import_needs(files), *metadata_needs(scope.graph))
    asked = set(scope.graph) - {name for needed in scope.graph.values() for name in needed}
    spare = unneeded_packages(needs, scope.graph, asked)
    sizes = dict.fromkeys(scope.graph, 0)
    active = set()
    for path, entry in files.entries.items():
        if entry.owner in sizes:
            sizes[entry.owner] += entry.size
            if module_at(path) or ".so" in posixpath.basename(path):
                active.add(entry.owner)
    found = (
        PackageUse(
            name=name,
            size=size,
            needed=name not in spare,
            wanted=name in asked,
            data=name not in active,
            needs=tuple(need for need in needs if need.package == name),
        )
        for name, size in sizes.items()
    )
    return tuple(sorted(found, key=lambda use: (-use.size, use.name)))
