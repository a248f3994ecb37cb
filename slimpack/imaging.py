"""The image for one platform: a straight line from an input to an image that is proven.

Each room is told what it needs and returns data. Nothing flows back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.application import joined
from slimpack.base import Base
from slimpack.bytecode import bytecode_notes
from slimpack.compose import (
    check_environment,
    check_places,
    gpu_notes,
    image_config,
    lazy_notes,
    twice_notes,
)
from slimpack.config import DEFAULT_PROFILE, Config
from slimpack.env.inputs.identify import Input
from slimpack.env.locks.lock import Lock
from slimpack.layering import layered, members_listed
from slimpack.means import Means
from slimpack.obtaining import Obtained, find, obtain
from slimpack.oci.image import Image, make_image
from slimpack.own import base_annotations
from slimpack.part import Part, build_paths
from slimpack.proving import promises, prove, raise_if_failed
from slimpack.result import BuildResult
from slimpack.stages import Stages
from slimpack.verify.prefixes import scanned
from slimpack.warm.basis import basis
from slimpack.warm.compiled import compiled
from slimpack.warm.imported import files_of
from slimpack.warm.interpreter import python_identity
from slimpack.warm.keys import part_key
from slimpack.warm.locked import is_pinned
from slimpack.warm.noswap import StartOver
from slimpack.warm.proof import proof_of
from slimpack.warm.recall import remember

if TYPE_CHECKING:
    from slimpack.provenance import BuildFacts


_OF_USERS = {"smoke"}
"""Checks that say the same of an image whoever made its parts, and when."""


@dataclass(frozen=True)
class Made:
    """An image, and what to tell of its build.

    pinned: its input says all of which packages (`slimpack.warm.locked.is_pinned`).
    facts: gives what provenance needs to know. lock: what was installed, None for an
    environment that was there already.
    """

    image: Image
    result: BuildResult
    pinned: bool
    facts: Callable[[], BuildFacts]
    lock: Lock | None = None


def build_image(
    config: Config,
    means: Means,
    scratch: Path,
    *,
    names: tuple[str, ...] = (),
    warm: bool = True,
    again: bool = False,
) -> Made:
    """Build the image for one platform.

    scratch: an empty folder, on the cache's file system, that outlives the image.
    names: what it is called in messages. warm: start from an earlier build where one is
    known. again: but prove the image anew. Raises the children of SlimpackError, and
    StartOver where `warm` was no help.
    """
    stage = Stages()
    with stage("input"):
        source = find(config, means, scratch, warm=warm)
    with stage("base"):
        base = basis(config, source.platform, means, warm=warm)
    prefix = config.image.prefix or base.prefix
    made = obtain(source, config, base, prefix, means, scratch, stage, warm=warm)
    subject = made.subject
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
    image = make_image(
        own.layers,
        run,
        base=base.image,
        annotations=base_annotations(base),
        comment="slimpack",
    )
    with stage("verify"):
        verification = None
        if config.verify.enabled:
            proof = proof_of(
                *(image, own, application, prefix, config.verify, _before(made, config)),
                lambda: files_of(tree, prefix, made.tied),
            )
            verification = prove(
                image,
                proof,
                config,
                means,
                name=(*names, "the image")[0],
                staging=made.staging,
                lock=made.lock,
                listed=lambda: members_listed(own, means),
                scratch=scratch,
                warm=warm and not again,
            )
        failed = {one.name for one in verification.failed} if verification else set()
        if failed - _OF_USERS:
            if made.staging is None:  # what failed in the environment, too, is no fault
                raise StartOver(f"{', '.join(sorted(failed))} failed")
        elif subject and made.kept and not made.known:
            remember(subject, part, made.kept, own, means)
        if verification:
            raise_if_failed(verification)
    rows = (*base.rows, *own.rows)
    bytecode = part.bytecode + code
    result = BuildResult(
        digest=image.digest,
        image_id=image.config_digest,
        platform=source.platform,
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
            *lazy_notes(base, config.image.compression),
            *part.notes,
            *promises(part, config, verification),
            *bytecode_notes(bytecode),
            *own.notes,
        ),
        stages=tuple(stage.seconds),
    )
    lock = made.lock

    def facts() -> BuildFacts:
        return _facts(config, made.input, base, prefix, means, part, lock)

    return Made(image, result, is_pinned(made.input, lock), facts, lock)


def _before(made: Obtained, config: Config) -> str:
    """Return by what the environment before slimming is known, "" where nothing tells."""
    if made.subject is None or config.app.prepare:  # which may have written into it
        return ""
    return part_key(made.subject.environment, made.subject.packages)


def _facts(
    config: Config,
    source: Input,
    base: Base,
    prefix: str,
    means: Means,
    part: Part,
    lock: Lock | None,
) -> BuildFacts:
    from slimpack.provenance import BuildFacts, lock_facts
    from slimpack.slimming import rules_of

    profile = config.slim.profile or DEFAULT_PROFILE
    return BuildFacts(
        config=config,
        source=source,
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
