"""The environment's part of an image: as an earlier build made it, or made from nothing.

What solves, installs and relocates is imported by the builds that have to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.base import Base
from slimpack.bytecode import Compiler
from slimpack.config import Config
from slimpack.env.inputs.identify import Input
from slimpack.env.locks.lock import Lock
from slimpack.means import Means
from slimpack.part import Part
from slimpack.stages import Stages
from slimpack.tree import Tree
from slimpack.warm.keys import slim_files
from slimpack.warm.locked import Locked, keep_locked, known_lock, lock_key
from slimpack.warm.recall import Subject, kept_of, recall, subject_of
from slimpack.warm.remembered import Kept

if TYPE_CHECKING:
    from slimpack.environment import Located, Planned


@dataclass(frozen=True)
class Source:
    """The input. lock: what it says, as an earlier build read it; else `located`.

    key: `lock_key` before anything was read.
    """

    input: Input
    platform: str
    key: str | None
    lock: Locked | None = None
    located: Located | None = None


@dataclass(frozen=True)
class Obtained:
    """An environment's part, the application's files, and what writes bytecode for both.

    staging: the environment, None when it was not installed. lock: what it was installed
    from, None for one that was there already. subject: by what the part is remembered, None
    where it is not. kept: what to remember of it; known: it is remembered already. tied: gives
    the packages that others are tied to (`slimpack.warm.ties`), None where nobody knows.
    reused: what an earlier build made, for people.
    """

    input: Input
    part: Part
    application: Tree
    compiler: Callable[[], Compiler | None]
    staging: Path | None = None
    lock: Lock | None = None
    subject: Subject | None = None
    kept: Kept | None = None
    known: bool = False
    tied: Callable[[], frozenset[str]] | None = None
    reused: str = ""


def find(config: Config, means: Means, scratch: Path, *, warm: bool) -> Source:
    """Find out what the input is. Raises what `slimpack.environment.locate` does."""
    key = lock_key(config)
    known = known_lock(config, key, means.memos) if warm else None
    if known:
        return Source(known.source, known.platform, key, known)
    from slimpack.environment import locate, platform_of

    found = locate(config, scratch, means.progress)
    return Source(found.source, platform_of(found, config), key, located=found)


def obtain(
    source: Source,
    config: Config,
    base: Base,
    prefix: str,
    means: Means,
    scratch: Path,
    stage: Stages,
    *,
    warm: bool,
) -> Obtained:
    """Return the part that the input gives on `base`; `warm`: an earlier build's if it fits.

    Raises the children of SlimpackError.
    """
    lock = source.lock
    asked = lock is not None and not base.gpu  # what is for GPUs is looked at anew
    if lock and asked:
        subject = subject_of(config, base, prefix, lock.lock, lock.engine, notes=lock.notes)
        with stage("recall"):
            found = _recalled(subject, source.input, config, prefix, means, scratch / "w")
        if found:
            return found
    planned = _decided(source, config, base, means, scratch, stage)
    plan, engine = planned.plan, planned.engine
    subject = None
    if plan and engine and not (plan.spec and plan.spec.pip):
        subject = subject_of(
            *(config, base, prefix, plan.lock, engine.name),
            variables=plan.variables,
            notes=plan.notes,
        )
        if not base.gpu:
            locked = Locked(source.input, source.platform, plan.lock, engine.name, plan.notes)
            keep_locked(config, source.key, locked, means.memos)
    if warm and not asked:
        with stage("recall"):
            found = _recalled(subject, source.input, config, prefix, means, scratch / "w")
        if found:
            if plan:
                from slimpack.environment import keep_lock

                keep_lock(plan, source.input, config)
            return found
    return _made(subject, source, planned, config, base, prefix, means, scratch, stage)


def _decided(
    source: Source, config: Config, base: Base, means: Means, scratch: Path, stage: Stages
) -> Planned:
    from slimpack.environment import decide, locate

    return decide(
        source.located or locate(config, scratch, means.progress),
        config,
        source.platform,
        config.env.glibc or base.glibc,
        cache=means.cache,
        progress=means.progress,
        stage=stage,
        for_gpu=base.gpu,
    )


def _recalled(
    subject: Subject | None,
    source: Input,
    config: Config,
    prefix: str,
    means: Means,
    folder: Path,
) -> Obtained | None:
    """Return what an earlier build made, None where nothing fits."""
    if subject is None:
        return None
    folder.mkdir()
    found = recall(subject, config, prefix, means, folder)
    if found is None:
        return None
    changed = ", ".join(found.changed)
    return Obtained(
        input=source,
        part=replace(found.part, source=source.describe),
        application=found.application,
        compiler=found.compiler,
        lock=subject.lock,
        subject=subject,
        kept=found.kept,
        known=not found.changed,
        tied=found.tied,
        reused=f"the environment but for {changed}" if changed else "the environment",
    )


def _made(
    subject: Subject | None,
    source: Source,
    planned: Planned,
    config: Config,
    base: Base,
    prefix: str,
    means: Means,
    scratch: Path,
    stage: Stages,
) -> Obtained:
    from slimpack.cold import from_nothing

    found = from_nothing(planned, config, base, prefix, source.platform, means, scratch, stage)
    kept = None
    if subject and subject.files == slim_files(config):  # else somebody wrote them meanwhile
        kept = kept_of(subject, found, prefix)
    fixed = kept.fixed if kept else None
    return Obtained(
        input=source.input,
        part=found.part,
        application=found.application,
        compiler=lambda: found.compiler,
        staging=found.staging,
        lock=found.lock,
        subject=subject,
        kept=kept,
        tied=None if fixed is None else lambda: fixed,
    )
