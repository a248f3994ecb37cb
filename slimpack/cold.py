"""The environment's part of an image, made from nothing: installed, relocated, slimmed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimpack import content
from slimpack.application import collected, joined, prepared
from slimpack.base import Base
from slimpack.bytecode import Compiler, with_bytecode
from slimpack.cache import Cache
from slimpack.compat import compat_link
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.cuda.found import cuda_version
from slimpack.env.activation import Activation, freeze
from slimpack.env.locks.lock import Lock
from slimpack.env.meta import Installed
from slimpack.environment import Environment, Planned, provide
from slimpack.means import Means
from slimpack.part import Part, build_paths
from slimpack.preparing import runs_on
from slimpack.progress import Progress
from slimpack.relocate import Relocated
from slimpack.result import Slimmed
from slimpack.slimming import Slimming, begin
from slimpack.stages import Stages
from slimpack.tree import Tree, identified
from slimpack.verify.prefixes import scanned


@dataclass(frozen=True)
class FromNothing:
    """A part, and what there is beside it as long as the scratch folder is.

    staging: the environment, installed; moved: relocated; installed: what it consists of.
    lock: what it was installed from, None for one that was there already.
    """

    part: Part
    application: Tree
    compiler: Compiler | None
    staging: Path
    installed: Installed
    moved: Relocated
    slimming: Slimming | None
    lock: Lock | None


def from_nothing(
    planned: Planned,
    config: Config,
    base: Base,
    prefix: str,
    platform: str,
    means: Means,
    scratch: Path,
    stage: Stages,
) -> FromNothing:
    """Make the part that `planned` comes to, and prepare the application.

    base, prefix, platform: of the image. Raises the children of SlimpackError.
    """
    environment = provide(
        planned,
        config,
        cache=means.cache,
        scratch=scratch,
        progress=means.progress,
        stage=stage,
    )
    staging = environment.prefix
    with stage("relocate"):
        moved = content.relocated(environment, prefix, scratch)
        activation = freeze(staging, prefix, environment.variables, origin=environment.origin)
    with stage("application"):
        run = runs_on(platform, base.image, staging, scratch)
        app_config = prepared(config.app, staging, activation.env, prefix, scratch, run)
        application = collected(app_config, prefix, lambda name: (staging / "bin" / name).exists())
        joined(moved.tree, application)  # what cannot be is told now
    compiler = content.compiler_of(environment)
    part, slimming = make_part(
        environment,
        moved,
        activation,
        application,
        compiler,
        config=config,
        base=base,
        prefix=prefix,
        cache=means.cache,
        scratch=scratch,
        progress=means.progress,
        stage=stage,
    )
    return FromNothing(
        part=part,
        application=application,
        compiler=compiler,
        staging=staging,
        installed=environment.installed,
        moved=moved,
        slimming=slimming,
        lock=environment.lock,
    )


def make_part(
    environment: Environment,
    moved: Relocated,
    activation: Activation,
    application: Tree,
    compiler: Compiler | None,
    *,
    config: Config,
    base: Base,
    prefix: str,
    cache: Cache,
    scratch: Path,
    progress: Progress,
    stage: Stages,
) -> tuple[Part, Slimming | None]:
    """Return an environment's part, and the slimming that led to it.

    moved, activation: of `environment`, for `prefix`. application: what it imports counts.
    compiler: writes its bytecode. Raises InputError for what slimming was told, and
    InstallError when compiling fails.
    """
    installed, tree = environment.installed, moved.tree
    if config.env.cuda_compat:
        tree = tree.merge(compat_link(tree, prefix, base.view))
    with stage("slim"):
        whole = tree.merge(application)
        slimming = begin(config.slim, DEFAULT_PROFILE, environment, moved, whole, prefix)
        tree = slimming.dropped(tree) if slimming else tree
    with stage("bytecode"):
        tree, bytecode = with_bytecode(
            tree,
            compiler,
            dest_prefix=prefix,
            scratch=scratch,
            checked=False,
            progress=progress,
            sources=moved.sources,
        )
    with stage("shrink"):
        if slimming:
            tree, slimming = slimming.finished(tree)
        tree = content.with_true_records(tree, environment, moved, prefix).map(identified)
    placeholders = tuple(sorted(installed.placeholders))
    origin = "" if environment.origin == prefix else environment.origin
    part = Part(
        tree=scanned(
            tree,
            build_paths(scratch, cache, placeholders),
            allow=config.image.allow_build_paths,
            origin=origin,
            vouched=content.vouched(moved),
        ),
        activation=activation,
        titles=installed.titles,
        packages=len(installed.packages),
        pypi=len(installed.dists),
        cuda=cuda_version(installed.versions),
        source=environment.source,
        engine=environment.engine,
        placeholders=placeholders,
        bytecode=bytecode,
        slimmed=Slimmed.of(slimming.account if slimming else None),
        devices=slimming.promised if slimming else (),
        notes=(
            *(slimming.notes if slimming else ()),
            *activation.notes,
            *content.notes(environment, moved),
        ),
    )
    return part, slimming
