"""The image for one platform: a straight line from an input to an image that is proven.

Each room is told what it needs and returns data. Nothing flows back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack import content
from slimpack.application import collected, joined, prepared
from slimpack.base import Base, assemble
from slimpack.compose import (
    check_environment,
    check_places,
    gpu_notes,
    image_config,
    twice_notes,
)
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.content import Compiler
from slimpack.cuda.arch import promise
from slimpack.env.activation import freeze
from slimpack.env.locks.lock import Lock
from slimpack.environment import Located, Planned, decide, keep_lock, locate, platform_of, provide
from slimpack.errors import VerifyError
from slimpack.layering import layered
from slimpack.means import Means
from slimpack.oci.image import Image, make_image
from slimpack.own import base_annotations
from slimpack.part import Part, build_paths, make_part
from slimpack.preparing import runs_on
from slimpack.provenance import BuildFacts, lock_facts
from slimpack.result import BuildResult
from slimpack.slimming import rules_of
from slimpack.stages import Stages
from slimpack.tree import Tree
from slimpack.verify.model import Verification
from slimpack.verify.opening import open_image, open_prefix
from slimpack.verify.prefixes import scanned
from slimpack.verify.verifying import raise_if_failed, verify
from slimpack.warm.compiled import compiled
from slimpack.warm.interpreter import python_identity
from slimpack.warm.noswap import StartOver
from slimpack.warm.recall import Subject, kept_of, recall, remember, subject_of
from slimpack.warm.remembered import Kept


@dataclass(frozen=True)
class Made:
    """An image, what to tell of its build, and what provenance needs to know of it."""

    image: Image
    result: BuildResult
    facts: BuildFacts


def build_image(
    config: Config,
    means: Means,
    scratch: Path,
    *,
    names: tuple[str, ...] = (),
    warm: bool = True,
) -> Made:
    """Build the image for one platform.

    scratch: an empty folder, on the cache's file system, that outlives the image.
    names: what it is called in messages. warm: start from an earlier build where one is
    known. Raises the children of SlimpackError, and StartOver where `warm` was no help.
    """
    stage = Stages()
    with stage("input"):
        located = locate(config, scratch, means.progress)
        platform = platform_of(located, config)
    with stage("base"):
        base = assemble(
            config,
            platform,
            cache=means.cache,
            layers=means.layers,
            epoch=means.epoch,
            compression=means.compression,
            progress=means.progress,
            registries=means.registries,
        )
    prefix = config.image.prefix or base.prefix
    planned = decide(
        located,
        config,
        platform,
        config.env.glibc or base.glibc,
        cache=means.cache,
        progress=means.progress,
        stage=stage,
        for_gpu=base.gpu,
    )
    subject = subject_of(config, base, prefix, planned)
    made = None
    if subject and warm:
        with stage("recall"):
            made = _recalled(subject, planned, config, prefix, means, scratch)
    if made is None:
        made = _made(subject, planned, config, base, prefix, platform, means, scratch, stage)
    part = made.part
    forbidden = build_paths(scratch, means.cache, part.placeholders)
    with stage("application"):
        application, code = compiled(
            made.application,
            made.compiler,
            python_identity(subject.lock, subject.packages) if subject else "",
            prefix=prefix,
            means=means,
            scratch=scratch,
        )
        application = scanned(application, forbidden, allow=config.image.allow_build_paths)
        tree = joined(part.tree, application)
        check_places(tree, base, prefix)
    run = image_config(
        config, base, part.activation, tree, prefix=prefix, epoch=means.epoch, cuda=part.cuda
    )
    check_environment(run, forbidden)
    with stage("layers"):
        own = layered(tree, part.titles, config=config.image, below=base.view, means=means)
        if subject and made.kept and not made.known:
            remember(subject, part, made.kept, own, means)
    image = make_image(
        own.layers,
        run,
        base=base.image,
        annotations=base_annotations(base),
        comment="slimpack",
    )
    with stage("verify"):
        try:
            verification = _verified(image, names, config, made.staging, scratch, means)
        except VerifyError as error:
            if made.staging is None:  # what failed in the environment, too, is no fault
                raise StartOver(str(error)) from error
            raise
    rows = (*base.rows, *own.rows)
    bytecode = part.bytecode + code
    result = BuildResult(
        digest=image.digest,
        image_id=image.config_digest,
        platform=platform,
        source=part.source,
        engine=part.engine,
        packages=part.packages,
        pypi=part.pypi,
        files=sum(row.files for row in rows),
        layers=rows,
        size=image.size,
        bytecode=bytecode,
        slimmed=part.slimmed,
        reused=made.reused,
        verified=verification,
        notes=(
            *base.notes,
            *gpu_notes(base, part.cuda),
            *twice_notes(base, tree),
            *part.notes,
            *_promises(part, config, verification),
            *content.bytecode_notes(bytecode),
            *own.notes,
        ),
        stages=tuple(stage.seconds),
    )
    return Made(image, result, _facts(config, located, base, prefix, means, part, made.lock))


def _facts(
    config: Config,
    located: Located,
    base: Base,
    prefix: str,
    means: Means,
    part: Part,
    lock: Lock | None,
) -> BuildFacts:
    profile = config.slim.profile or DEFAULT_PROFILE
    return BuildFacts(
        config=config,
        source=located.source,
        prefix=prefix,
        compression=means.compression,
        epoch=means.epoch,
        engine=part.engine,
        lock=lock_facts(lock) if lock else None,
        debian=base.debian,
        base=None if base.debian else (base.reference or "base", base.image.digest),
        profile=profile,
        rules=rules_of(config.slim, profile) if profile != "none" else None,
    )


@dataclass(frozen=True)
class _Made:
    """An environment's part, the application's files, and what writes bytecode for both.

    staging: the environment, None when it was not installed. lock: what it was installed
    from, None for one that was there already. kept: what to remember of it, None for
    nothing. known: it is remembered already. reused: what an earlier build made.
    """

    part: Part
    application: Tree
    compiler: Callable[[], Compiler | None]
    staging: Path | None = None
    lock: Lock | None = None
    kept: Kept | None = None
    known: bool = False
    reused: str = ""


def _recalled(
    subject: Subject, planned: Planned, config: Config, prefix: str, means: Means, scratch: Path
) -> _Made | None:
    """Return what an earlier build made, None where nothing fits."""
    folder = scratch / "warm"
    folder.mkdir()
    found = recall(subject, config, prefix, means, folder)
    if found is None:
        return None
    if planned.plan:
        keep_lock(planned.plan, planned.located.source, config)
    changed = ", ".join(found.changed)
    return _Made(
        part=replace(found.part, source=planned.located.source.describe),
        application=found.application,
        compiler=found.compiler,
        lock=subject.lock,
        kept=found.kept,
        known=not found.changed,
        reused=f"the environment but for {changed}" if changed else "the environment",
    )


def _made(
    subject: Subject | None,
    planned: Planned,
    config: Config,
    base: Base,
    prefix: str,
    platform: str,
    means: Means,
    scratch: Path,
    stage: Stages,
) -> _Made:
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
    kept = kept_of(subject, moved, slimming, application, prefix) if subject else None
    return _Made(part, application, lambda: compiler, staging, environment.lock, kept)


def _verified(
    image: Image,
    names: tuple[str, ...],
    config: Config,
    staging: Path | None,
    scratch: Path,
    means: Means,
) -> Verification | None:
    """Prove that the image works before anybody gets it; None where that is switched off.

    Every byte was searched for build paths while the layers were written. What could not
    be imported in the environment as it was installed is no fault of the image.
    """
    if not config.verify.enabled:
        return None
    name = names[0] if names else "the image"
    progress = means.progress
    subject = means.layers.healing(
        lambda: open_image(image, scratch / "root", name, progress=progress)
    )
    before = open_prefix(staging) if staging else None
    result = verify(subject, config.verify, scan=False, before=before, progress=progress)
    raise_if_failed(result)
    return result


def _promises(part: Part, config: Config, verification: Verification | None) -> Iterator[str]:
    """Say what the image holds less than its user may expect."""
    if part.devices:
        yield promise(part.devices, verified=_on_gpu(config, verification))


def _on_gpu(config: Config, verification: Verification | None) -> bool:
    """Tell whether the user's tests for a GPU ran on one, and all went well."""
    done = [one for one in (verification.results if verification else ()) if one.name == "smoke"]
    asked = any(test.gpu for test in config.verify.smoke)
    return asked and any(not one.skipped and not one.findings for one in done)
