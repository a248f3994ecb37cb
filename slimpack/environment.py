"""From any input to an environment on this machine, ready to be relocated.

Three ways lead here: a specification is solved and installed in the scratch
folder, a lock only installed; an archive is unpacked there; an existing prefix
is used where it lies, and nothing is ever written to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from slimpack.archive.extract import extract, find_environment
from slimpack.cache import Cache
from slimpack.config import Config
from slimpack.env.cpubuilds import Gpu, check_locked
from slimpack.env.engine import Engine, choose_engine
from slimpack.env.inputs.identify import Input, InputKind, identify
from slimpack.env.locking import Target
from slimpack.env.locks.files import format_of, write_locks
from slimpack.env.locks.lock import Lock
from slimpack.env.meta import Installed, read_installed
from slimpack.env.pypi.editable import build_editables
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import ArchiveError, InputError
from slimpack.hostpython import HostPython, host_python, is_foreign
from slimpack.installing import Plan, carry_out, installed_at, plan_of, target_of
from slimpack.platforms import SUBDIRS, resolve
from slimpack.portable.script import NAME as CONDA_UNPACK
from slimpack.portable.unpacking import guess_prefix, read_records, rewrite
from slimpack.prefix.examine import examine
from slimpack.prefix.files import prefix_files
from slimpack.prefix.found import PrefixFile
from slimpack.progress import Progress

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Environment:
    """An installed environment and what is known of it.

    source: the input, for people. engine: what installed it, "" for nothing of ours.
    origin: the path that its files name.
    variables: that the specification sets, beyond those that `prefix` records.
    made_for: the one place that its files were written for, "" when they can be moved.
    files: where its files come from, None for the package cache.
    lock: what was installed, with what pip resolved; None for what was there already.
    host_python: finds what writes its bytecode here, None where its own Python runs.
    """

    source: str
    engine: str
    prefix: Path
    origin: str
    installed: Installed
    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[PrefixFile, ...] | None = None
    notes: tuple[str, ...] = ()
    made_for: str = ""
    host_python: Callable[[], HostPython] | None = None
    lock: Lock | None = None


@dataclass(frozen=True)
class Located:
    """An input, looked at. prefix, installed: of an environment that is there already.

    made_for: where an archive without conda-unpack has to lie, "" for anything else.
    """

    source: Input
    prefix: Path | None = None
    installed: Installed | None = None
    made_for: str = ""


def locate(config: Config, scratch: Path, progress: Progress) -> Located:
    """Find out what the input is; archives are unpacked below `scratch`.

    Raises InputError for what is no input, ArchiveError for a hostile archive.
    """
    if not config.env.inputs:
        raise InputError(
            "nothing to work on",
            hint="pass an environment.yml, a lock, an environment's folder, an archive or match "
            "specs, or set 'spec' under [env] in slimpack.toml",
        )
    source = identify(config.env.inputs)
    if source.path is None or source.kind not in (InputKind.PREFIX, InputKind.ARCHIVE):
        return Located(source)
    if source.kind is InputKind.PREFIX:
        # Not resolved: its files name it by the path that somebody used.
        prefix = Path(os.path.abspath(source.path))  # noqa: PTH100
        return Located(source, prefix, read_installed(prefix))
    prefix, made_for = _unpacked(source.path, scratch, progress)
    return Located(source, prefix, read_installed(prefix), made_for)


def platform_of(located: Located, config: Config) -> str:
    """Return the OCI platform: as configured, else the environment's own, else this machine's.

    Raises InputError for an environment that was installed for another, and where several
    are configured.
    """
    if len(config.env.platforms) > 1:
        raise InputError(
            f"several platforms: {', '.join(config.env.platforms)}",
            hint="choose one with --platform; only `slimpack build` makes an index of several",
        )
    wanted = (*config.env.platforms, config.env.platform)[0]
    if located.installed is None:
        return resolve(wanted)
    own = sorted({package.subdir for package in located.installed.packages} - {"noarch", ""})
    if len(own) > 1 or (own and own[0] not in SUBDIRS.values()):
        raise InputError(
            f"{located.source.describe}: an environment for {' and '.join(own)}",
            hint=f"slimpack packs those for {' or '.join(sorted(SUBDIRS.values()))}",
        )
    platform = resolve(wanted or (own[0] if own else ""))
    if own and SUBDIRS[platform] != own[0]:
        raise InputError(
            f"{located.source.describe}: an environment for {own[0]}, not for {platform}",
            hint="leave out --platform, or install the environment for that platform",
        )
    return platform


@dataclass(frozen=True)
class Planned:
    """What an input comes to: decided, and not installed.

    gpu: what is asked of packages with CUDA builds, None for nothing.
    plan, target, engine: None for an environment that is there already.
    """

    located: Located
    glibc: str
    gpu: Gpu | None
    plan: Plan | None = None
    target: Target | None = None
    engine: Engine | None = None


def decide(
    located: Located,
    config: Config,
    platform: str,
    glibc: str,
    *,
    cache: Cache,
    progress: Progress,
    stage: Stage,
    for_gpu: bool = False,
) -> Planned:
    """Solve a specification, or read a lock.

    platform: an OCI platform. glibc: version that the solver is offered.
    for_gpu: CPU builds are refused, as they are where CUDA is configured.
    Raises SolveError, InstallError, InputError (see the rooms `env` and `prefix`).
    """
    wanted = for_gpu or config.env.cuda
    gpu = Gpu(config.env.cuda, config.env.allow_cpu) if wanted else None
    if located.prefix is not None:
        return Planned(located, glibc, gpu)
    if config.env.lock:
        format_of(config.env.lock)  # a name that tells nothing is told at once
    source = located.source
    target = target_of(platform, glibc, config.env.cuda)
    engine = choose_engine(
        config.env.engine, cache.packages, cache.repodata, config.env.packages_from
    )
    reader = RattlerEngine(cache.packages, cache.repodata)
    with stage("solve"), progress.task(f"solve {source.kind.value}", unit="step"):
        plan = plan_of(source, config.env, target, engine, reader, gpu=gpu)
    return Planned(located, glibc, gpu, plan, target, engine)


def provide(
    planned: Planned,
    config: Config,
    *,
    cache: Cache,
    scratch: Path,
    progress: Progress,
    stage: Stage,
) -> Environment:
    """Return the environment, installed below `scratch` unless it is there already.

    Raises SolveError, InstallError, InputError (see the rooms `env` and `prefix`).
    """
    if planned.plan is None:
        environment = _examined(planned, config, scratch, progress, stage)
    else:
        environment = _made(planned, config, scratch, progress, stage)
    if not is_foreign(environment.installed):
        return environment
    find = partial(host_python, environment.installed, config.env)
    return replace(
        environment,
        host_python=lambda: find(cache=cache, scratch=scratch, progress=progress),
    )


def _examined(
    planned: Planned, config: Config, scratch: Path, progress: Progress, stage: Stage
) -> Environment:
    located = planned.located
    assert located.installed is not None
    if planned.gpu:
        installed = located.installed
        check_locked(installed.packages, installed.dists, planned.gpu, located.source.describe)
    if config.env.lock is not None:
        raise InputError(
            f"--lock: {located.source.describe} is installed already, and nothing is solved",
            hint="export a lock with the tool that installed it",
        )
    with stage("examine"):
        return _existing(located, config, planned.glibc, scratch, progress)


def _made(
    planned: Planned, config: Config, scratch: Path, progress: Progress, stage: Stage
) -> Environment:
    source, plan, engine = planned.located.source, planned.plan, planned.engine
    assert plan is not None
    assert planned.target is not None
    assert engine is not None
    with stage("install"):
        plan, installed = carry_out(
            *(plan, planned.target, engine, scratch, progress),
            gpu=planned.gpu,
            nearby=config.env.packages_from,
        )
    keep_lock(plan, source, config)
    return Environment(
        source=source.describe,
        engine=engine.name,
        prefix=installed_at(scratch),
        origin=str(installed_at(scratch)),
        installed=installed,
        variables=plan.variables,
        notes=plan.notes,
        lock=plan.lock,
    )


def keep_lock(plan: Plan, source: Input, config: Config) -> None:
    """Write what was solved, or read, to where the configuration wants it."""
    if path := config.env.lock:
        write_locks([plan.lock], path, format_of(path), plan.as_spec(source))


def _unpacked(archive: Path, scratch: Path, progress: Progress) -> tuple[Path, str]:
    """Unpack an archive as its user would: the files then name the folder they are in.

    Without conda-unpack they name the place that they were packed for, which is told too.
    """
    folder = scratch / "u"
    extract(archive, folder, progress=progress)
    root = find_environment(folder)
    unpacking = read_records(root)
    if unpacking is None:
        return root, guess_prefix(root) or ""
    report = rewrite(root, unpacking, str(root))
    if report.failed:
        raise ArchiveError(
            f"{archive}: {len(report.failed)} files cannot be rewritten",
            details="\n".join(f"{path!a}: {reason}" for path, reason in report.failed[:20]),
            hint="the archive is damaged, or the cache folder's path is too long: set "
            "SLIMPACK_CACHE_DIR to a shorter one",
        )
    return root, ""


def _existing(
    located: Located, config: Config, glibc: str, scratch: Path, progress: Progress
) -> Environment:
    prefix, installed = located.prefix, located.installed
    assert prefix is not None
    assert installed is not None
    examination = examine(prefix, installed, accept=config.env.accept_changes, progress=progress)
    program = prefix / CONDA_UNPACK
    if located.source.kind is InputKind.PREFIX and examination.unfinished and program.exists():
        # Its activation would set variables to placeholders.
        raise InputError(
            f"{prefix}: an unpacked archive whose files do not know yet where they are",
            hint=f"run {program}, or pass the archive itself",
        )
    work = scratch / "editable"
    work.mkdir()
    overlays = build_editables(installed, prefix, scratch=work, glibc=glibc, progress=progress)
    restored = scratch / "restored"
    restored.mkdir()
    files = prefix_files(prefix, installed, examination, overlays, restored)
    rebuilt = {overlay.dist.name: overlay.dist for overlay in overlays}
    return Environment(
        source=located.source.describe,
        engine="",
        prefix=prefix,
        origin=examination.origin,
        installed=replace(
            installed,
            packages=tuple(
                package for package in installed.packages if package.name not in examination.dropped
            ),
            dists=tuple(rebuilt.get(dist.name, dist) for dist in installed.dists),
        ),
        files=tuple(files),
        notes=(*examination.notes, *(overlay.note for overlay in overlays)),
        # Where digests prove the origin, records tell of every file that names it.
        made_for=located.made_for if examination.origin == str(prefix) else "",
    )
