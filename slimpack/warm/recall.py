"""Starting a build from an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.application import collected
from slimpack.base import Base
from slimpack.bytecode import Compiler
from slimpack.cache.kinds import FAMILY, PART
from slimpack.cache.memo import MALFORMED
from slimpack.cache.record import record_of
from slimpack.config import Config
from slimpack.env.locks.lock import Lock
from slimpack.layering import Layering
from slimpack.means import Means
from slimpack.part import Part
from slimpack.platforms import SUBDIRS, here
from slimpack.slim.decisions import Decisions, application_answers
from slimpack.tree import Tree, parents, under
from slimpack.warm.bytes import LayerBytes
from slimpack.warm.interpreter import kept_compiler
from slimpack.warm.keys import (
    environment_key,
    family_key,
    package_identities,
    part_key,
    slim_files,
)
from slimpack.warm.noswap import NoSwap
from slimpack.warm.remembered import Kept, Remembered, facts_of, rows_of, to_json

if TYPE_CHECKING:  # only builds that have to make something need these
    from slimpack.cold import FromNothing


@dataclass(frozen=True)
class Subject:
    """What is built, as far as parts are remembered by it.

    environment: see `environment_key`. packages: name -> identity. files: see `slim_files`.
    """

    environment: str
    packages: dict[str, str]
    lock: Lock
    files: list[str]


@dataclass(frozen=True)
class Warm:
    """A part that nobody had to make, the application's files, and what compiles them.

    kept: what is to be remembered of it, None where it is. tied: gives `Kept.fixed` of it, or
    raises MALFORMED. changed: the packages that are others than in the earlier build.
    """

    part: Part
    application: Tree
    compiler: Callable[[], Compiler | None]
    kept: Kept | None
    tied: Callable[[], frozenset[str]]
    changed: tuple[str, ...]


def subject_of(
    config: Config,
    base: Base,
    prefix: str,
    lock: Lock,
    engine: str,
    *,
    variables: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Subject | None:
    """Return by what a part is remembered, None where it cannot be.

    lock: complete, with what pip installs. engine: name of what installs it.
    variables, notes: of the specification. Raises InputError for files of rules or traces
    that cannot be read.
    """
    packages = package_identities(lock)
    if packages is None or lock.pypi or lock.platform != SUBDIRS.get(here()):
        return None
    if config.slim.profile == "traced":
        return None  # what is traced depends on every import of the application
    files = slim_files(config)
    key = environment_key(config, base, prefix, lock.platform, engine, variables, notes, files)
    return Subject(key, packages, lock, files)


def recall(
    subject: Subject, config: Config, prefix: str, means: Means, scratch: Path
) -> Warm | None:
    """Return the part of an earlier build with the same packages, or with some of them others.

    None where there is none, or where it is not certain that it would come out the same.
    """
    if config.app.prepare:
        return None  # it runs programs of the environment
    try:
        return _recalled(subject, config, prefix, means, scratch)
    except NoSwap:
        return None


def _recalled(subject: Subject, config: Config, prefix: str, means: Means, scratch: Path) -> Warm:
    old = _known(part_key(subject.environment, subject.packages), means)
    known = old is not None
    if old is None:
        old = _relative(subject, means)
    opened = LayerBytes(old.layers, means.layers, scratch)
    application = collected(config.app, prefix, lambda name: name in old.programs)
    with _doubted():
        if _meets(application, prefix):
            check_places(application, old.paths, prefix)
        asked = old.questions
        same = not asked or old.application == application_answers(asked, application, prefix)
        part = old.to_part(opened.open) if known else None
    if not same:
        raise NoSwap("the application uses what slimming took, or no longer what it left")
    if part:
        return Warm(
            part=part,
            application=application,
            compiler=lambda: kept_compiler(subject.lock, subject.packages, means),
            kept=None,
            tied=lambda: old.fixed,
            changed=(),
        )
    from slimpack.warm.swap import swap

    with _doubted():
        swapped = swap(
            old,
            subject.packages,
            subject.lock,
            config=config,
            prefix=prefix,
            means=means,
            scratch=scratch,
            opener=opened.open,
        )
    check_places(application, swapped.kept.paths, prefix)
    return Warm(
        part=swapped.part,
        application=application,
        compiler=lambda: swapped.compiler,
        kept=swapped.kept,
        tied=lambda: swapped.kept.fixed,
        changed=tuple(sorted(swapped.changed)),
    )


@contextmanager
def _doubted() -> Iterator[None]:
    """Raise NoSwap where what is remembered, maybe by somebody else, makes no sense."""
    try:
        yield
    except MALFORMED as error:
        raise NoSwap(f"what is remembered makes no sense: {error}") from error


def _meets(application: Tree, prefix: str) -> bool:
    """Tell whether anything of the application is in the environment's place, or is that place."""
    place = under(prefix, "")
    return any(f"{entry.path}/".startswith(place) for entry in application)


def check_places(application: Tree, paths: Mapping[str, str], prefix: str) -> None:
    """Raise NoSwap where the application wants a place of the environment.

    paths: of the environment before slimming, below the prefix: what goes counts, too.
    """
    inside = under(prefix, "")
    for entry in application:
        path = entry.path.removeprefix(inside)
        if f"{entry.path}/" == inside or (
            entry.path.startswith(inside)
            and (
                any(place in paths for place in (path, *parents(path)))
                or any(place.startswith(f"{path}/") for place in paths)
            )
        ):
            raise NoSwap(f"/{entry.path} has the place of a file of the environment")


def _relative(subject: Subject, means: Means) -> Remembered:
    """Return the newest part whose packages have the same names."""
    found = means.memos.get(FAMILY, family_key(subject.environment, subject.lock))
    old = _known(found.decode("ascii", "replace"), means) if found else None
    if old is None or old.packages.keys() != subject.packages.keys():
        raise NoSwap("no part with these packages")
    return old


def _known(key: str, means: Means) -> Remembered | None:
    with suppress(*MALFORMED):
        data = means.memos.get(PART, key)
        return Remembered.from_json(data) if data else None
    return None


def kept_of(
    subject: Subject,
    made: FromNothing,
    prefix: str,
) -> Kept:
    """Return what to remember of a part that was made from nothing."""
    from slimpack.warm.ties import links_of, programs_of, tied

    inside, tree = under(prefix, ""), made.moved.tree
    decided = None
    if slimming := made.slimming:
        decided = Decisions(
            questions=slimming.questions,
            answers=slimming.answers,
            application=application_answers(slimming.questions, made.application, prefix),
            before=tuple((path, one.owner, one.size) for path, one in slimming.before.items()),
            changes=slimming.changes,
            account=slimming.account,
            record=slimming.record,
        )
    return Kept(
        packages=subject.packages,
        paths={one.path.removeprefix(inside): one.owner for one in tree},
        links=links_of(tree, prefix),
        programs=programs_of(made.staging),
        fixed=tied(tree, made.installed, prefix),
        decisions=decided,
    )


def remember(subject: Subject, part: Part, kept: Kept, layering: Layering, means: Means) -> None:
    """Keep a part for later builds, when its layers are there."""
    with suppress(ValueError):  # a layer whose size nobody knows
        layers = tuple(
            (key or "", record_of(layer))
            for key, layer in zip(layering.keys, layering.layers, strict=True)
        )
        key = part_key(subject.environment, subject.packages)
        rows = rows_of(part.tree, layering.holders)
        means.memos.put(PART, key, to_json(kept, rows, layers, facts_of(part)))
        means.memos.put(FAMILY, family_key(subject.environment, subject.lock), key.encode())
