"""The environment's share of an image: its files in their last form, and what is known of them.

It does not depend on the application but for what slimming asked that, and on no layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimpack import content
from slimpack.base import Base
from slimpack.cache import Cache
from slimpack.compat import compat_link
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.content import Compiler
from slimpack.cuda.found import cuda_version
from slimpack.env.activation import Activation
from slimpack.environment import Environment
from slimpack.progress import Progress
from slimpack.relocate import Relocated
from slimpack.result import Slimmed
from slimpack.slim.bytecode import BytecodeReport
from slimpack.slimming import Slimming, begin
from slimpack.stages import Stages
from slimpack.tree import Tree, identified
from slimpack.verify.prefixes import forbidden_paths, scanned


@dataclass(frozen=True)
class Part:
    """What an environment gives to an image.

    tree: its files; each has an identity, and whoever reads one looks for build paths.
    titles: owner -> what its layer is called. packages, pypi: how many of each.
    cuda: version of CUDA that it brings, "" for none.
    source, engine: as `slimpack.result.BuildResult` has them.
    placeholders: build prefixes that its packages declare, and no file may name.
    devices: the only ones whose GPU code stayed, where any code went.
    """

    tree: Tree
    activation: Activation
    titles: Mapping[str, str]
    packages: int
    pypi: int
    cuda: str
    source: str
    engine: str
    placeholders: tuple[str, ...]
    bytecode: BytecodeReport
    slimmed: Slimmed
    devices: tuple[int, ...]
    notes: tuple[str, ...]


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
        tree, bytecode = content.with_bytecode(
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


def build_paths(scratch: Path, cache: Cache, placeholders: Iterable[str]) -> tuple[bytes, ...]:
    """Return what no file of an image may name: where it was built, and placeholders."""
    return forbidden_paths([str(scratch), str(cache.packages)], placeholders)
