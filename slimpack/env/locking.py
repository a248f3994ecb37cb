"""From an input to locks; `slimpack.env.locks.files` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.env.cpubuilds import Gpu, check_distributions, check_locked, check_solved
from slimpack.env.engine import Engine
from slimpack.env.inputs.identify import Input, InputKind, identify
from slimpack.env.inputs.spec import EnvSpec, read_environment_yml, spec_of
from slimpack.env.locks.agreement import disagreements
from slimpack.env.locks.condalock import read_conda_lock
from slimpack.env.locks.files import place
from slimpack.env.locks.lock import Lock, NotForPlatformError, read_explicit, read_explicit_pypi
from slimpack.env.meta import read_installed
from slimpack.env.pypi.resolve import Resolution, resolve
from slimpack.env.rattler.engine import RattlerEngine, is_held, with_pypi
from slimpack.errors import InputError, SolveError
from slimpack.progress import SILENT, Progress


@dataclass(frozen=True)
class Locked:
    """A lock and what is worth knowing about how it came about, one sentence each."""

    lock: Lock
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The platform that is solved for.

    glibc: version of the C library, "" for none. virtual_packages: (name,
    version, build) of all that the platform offers, glibc among them.
    held: (name, version) of packages that may only come in that version.
    """

    subdir: str
    glibc: str
    virtual_packages: tuple[tuple[str, str, str], ...]
    held: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Options:
    """How an input is read.

    channels: used instead of the specification's, unless empty. environment: of a
    pixi.lock. categories: of a conda-lock.yml. gpu: that the result is for GPUs; then
    CPU builds are refused.
    """

    channels: tuple[str, ...] = ()
    strict_priority: bool = True
    environment: str = "default"
    categories: tuple[str, ...] = ("main",)
    gpu: Gpu | None = None


def is_specification(source: Input) -> bool:
    """Tell whether the input must be solved; a lock is only read."""
    return source.kind in (InputKind.ENVIRONMENT, InputKind.SPECS)


def read_spec(source: Input, subdir: str, channels: Sequence[str] = ()) -> EnvSpec:
    """Return what an environment.yml or match specs ask for on a platform.

    channels: used instead of those of the file, unless empty. Raises InputError.
    """
    if source.kind is InputKind.SPECS:
        return spec_of(source.specs, channels)
    if source.kind is InputKind.ENVIRONMENT and source.path is not None:
        return read_environment_yml(source.path, subdir).with_channels(tuple(channels))
    raise InputError(f"{source.describe}: not a specification that can be solved")


def read_locked(
    source: Input,
    engine: RattlerEngine,
    subdir: str,
    *,
    environment: str = "default",
    categories: Sequence[str] = ("main",),
) -> Locked:
    """Read a pixi.lock, an ``@EXPLICIT`` list or a conda-lock.yml for one platform.

    environment: of a pixi.lock. categories: of a conda-lock.yml. Raises InputError
    for what is malformed or not for the platform, InstallError when the channel
    has another file than the lock says.
    """
    path = source.path
    if path is not None and source.kind is InputKind.LOCK:
        return Locked(engine.read_lock(path, subdir, environment=environment))
    if path is not None and source.kind is InputKind.EXPLICIT:
        entries, pypi = read_explicit(path), read_explicit_pypi(path)
        return Locked(engine.resolve_explicit(entries, subdir, source=str(path), pypi=pypi))
    if path is not None and source.kind is InputKind.CONDA_LOCK:
        found = read_conda_lock(path, subdir, categories)
        lock = engine.resolve_explicit(found.packages, subdir, source=str(path), pypi=found.pypi)
        notes = tuple(
            f"{path}: left out {_packages(count)} of category {category}"
            for category, count in found.left_out
        )
        return Locked(lock, notes)
    raise InputError(
        f"{source.describe}: holds no lock", hint="pass an environment.yml, match specs or a lock"
    )


def _packages(count: int) -> str:
    return "1 package" if count == 1 else f"{count} packages"


def solve_spec(
    spec: EnvSpec,
    target: Target,
    engine: Engine,
    reader: RattlerEngine,
    *,
    scratch: Path,
    options: Options,
    progress: Progress = SILENT,
) -> Locked:
    """Solve a specification for one platform, with its ``pip:`` section.

    reader: asks channels for builds, whatever `engine` solves.
    scratch: a folder on the file system of the package cache. The conda packages
    are installed in it when there is a ``pip:`` section, because pip has to
    know what they bring. Raises InputError, SolveError and InstallError.
    """
    with progress.task(f"solve {target.subdir}", unit="step"):
        solved = solve_for(
            spec, target, engine, reader, options.gpu, strict_priority=options.strict_priority
        )
    lock, notes = solved.lock, (*_not_locked(spec), *solved.notes)
    if not spec.pip:
        return Locked(lock, notes)
    prefix = scratch / f"prefix-{target.subdir}"
    engine.install(lock, prefix, progress=progress)
    work = scratch / f"pip-{target.subdir}"
    work.mkdir()
    lock, resolution = resolve_pip(spec, lock, prefix, target, work, progress)
    if options.gpu:
        check_distributions(lock.pypi, options.gpu, spec)
    return Locked(lock, (*notes, *resolution.notes))


def _not_locked(spec: EnvSpec) -> Iterator[str]:
    if spec.variables:
        names = ", ".join(name for name, _ in spec.variables)
        yield f"a lock holds no variables: {names} must be set under [image.env]"


def solve_conda(
    spec: EnvSpec, target: Target, engine: Engine, *, strict_priority: bool = True
) -> Lock:
    """Solve the conda packages of a specification; errors say for which platform."""
    try:
        return engine.solve(
            spec,
            target.subdir,
            target.virtual_packages,
            strict_priority=strict_priority,
            held=target.held,
        )
    except SolveError as error:
        raise _for_target(error, target) from error


def solve_for(
    spec: EnvSpec,
    target: Target,
    engine: Engine,
    reader: RattlerEngine,
    gpu: Gpu | None,
    *,
    strict_priority: bool = True,
) -> Locked:
    """Solve as `solve_conda`; for GPUs, refuse CPU builds (`slimpack.env.cpubuilds`)."""

    def solve(one: EnvSpec) -> Lock:
        return solve_conda(one, target, engine, strict_priority=strict_priority)

    lock = solve(spec)
    return Locked(lock, check_solved(spec, lock, gpu, reader, solve) if gpu else ())


def resolve_pip(
    spec: EnvSpec, lock: Lock, prefix: Path, target: Target, scratch: Path, progress: Progress
) -> tuple[Lock, Resolution]:
    """Resolve the ``pip:`` section of a specification on top of its conda packages.

    prefix: with the packages of `lock`. scratch: an empty folder. Returns the lock
    with what was found. Raises as `slimpack.env.pypi.resolve` does.
    """
    if lock.get("python") is None:
        raise InputError(
            f"{spec.source}: a 'pip:' section, but no python to install its packages into",
            hint="add 'python' to the dependencies (pip itself is not needed)",
        )
    resolution = resolve(
        spec.pip,
        folder=spec.folder or Path(),
        prefix=prefix,
        installed=read_installed(prefix),
        subdir=target.subdir,
        glibc=target.glibc,
        scratch=scratch,
        source=spec.source,
        progress=progress,
    )
    return with_pypi(lock, resolution.packages), resolution


def lock_all(
    source: Input,
    targets: Sequence[Target],
    *,
    embedded: RattlerEngine,
    engine: Engine,
    scratch: Path,
    options: Options,
    progress: Progress = SILENT,
) -> tuple[Locked, ...]:
    """Solve a specification, or read a lock, for every target.

    embedded: reads locks, whatever `engine` solves. Raises InputError, SolveError
    and InstallError.
    """
    if not is_specification(source):
        locked = tuple(
            read_locked(
                source,
                embedded,
                target.subdir,
                environment=options.environment,
                categories=options.categories,
            )
            for target in targets
        )
        if options.gpu:
            for one in locked:
                check_locked(one.lock.packages, one.lock.pypi, options.gpu, source.describe)
        return locked
    return tuple(
        solve_spec(
            read_spec(source, target.subdir, options.channels),
            target,
            engine,
            embedded,
            scratch=scratch,
            options=options,
            progress=progress,
        )
        for target in targets
    )


def _for_target(error: SolveError, target: Target) -> SolveError:
    hint = error.hint
    if "__glibc" in error.details:
        hint = (
            f"the solver was offered glibc {target.glibc}; if the place where the environment "
            "will run has a newer one, pass --glibc VERSION"
        )
    for name, version in target.held:
        if name in error.details:
            hint = (
                f"the solver is held to {name} {version} ([env] cuda, --cuda): ask for a version "
                "that the packages are built for, or loosen a spec that the explanation names"
            )
    return SolveError(f"{error.message} on {target.subdir}", details=error.details, hint=hint)


def differences(
    source: Input, targets: Sequence[Target], path: Path, engine: RattlerEngine, options: Options
) -> tuple[str, ...]:
    """Return how the lock at `path` differs from a specification, one sentence each.

    Raises InputError when the input is no specification or the file no lock.
    """
    if not is_specification(source):
        raise InputError(
            f"{source.describe}: not a specification to compare a lock with",
            hint="pass the environment.yml or the match specs that the lock was made of",
        )
    found: list[str] = []
    for target in targets:
        file = place(path, target.subdir)
        sentences = _compared(source, target, file, engine, options)
        prefix = f"{target.subdir}: " if len(targets) > 1 else ""
        found += [f"{prefix}{sentence}" for sentence in sentences]
    return tuple(dict.fromkeys(found))


def _compared(
    source: Input, target: Target, file: Path, engine: RattlerEngine, options: Options
) -> tuple[str, ...]:
    spec = read_spec(source, target.subdir, options.channels)
    if not file.exists():
        return (f"{file} does not exist",)
    written = identify([file])
    if is_specification(written):
        raise InputError(f"{written.describe}: not a lock")
    try:
        lock = read_locked(
            written,
            engine,
            target.subdir,
            environment=options.environment,
            categories=options.categories,
        ).lock
    except NotForPlatformError:
        return (f"nothing is locked for {target.subdir}",)
    return (*disagreements(spec, lock, target.virtual_packages), *_not_held(lock, target))


def _not_held(lock: Lock, target: Target) -> Iterator[str]:
    for name, version in target.held:
        package = lock.get(name)
        if package is not None and not is_held(package.version, version):
            yield f"{package.dist} is locked, but {name} is held to {version}"
