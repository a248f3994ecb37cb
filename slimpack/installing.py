"""From a specification or a lock to an installed prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.config import EnvConfig
from slimpack.env.cpubuilds import Gpu, check_distributions, check_locked
from slimpack.env.engine import Engine
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locking import (
    Target,
    is_specification,
    read_locked,
    read_spec,
    resolve_pip,
    solve_for,
)
from slimpack.env.locks.files import as_spec
from slimpack.env.locks.lock import Lock
from slimpack.env.meta import Installed, read_installed
from slimpack.env.pypi.install import install
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.platforms import SUBDIRS, virtual_packages
from slimpack.progress import Progress

DEFAULT_CHANNELS = ("conda-forge",)
"""For match specs on the command line, which name none."""


@dataclass(frozen=True)
class Plan:
    """What is to be installed.

    spec: what was solved, None for a lock: then `lock` is complete, while the
    ``pip:`` section of a specification is resolved when the conda packages are there.
    """

    lock: Lock
    spec: EnvSpec | None = None
    notes: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """What activation sets, by the specification."""
        return self.spec.variables if self.spec else ()

    def as_spec(self, source: Input) -> EnvSpec:
        """Return what was asked for, also where only a lock was."""
        return self.spec or as_spec(source, [self.lock])


def target_of(platform: str, glibc: str, cuda: str) -> Target:
    """Return what is solved for. platform: OCI's. glibc, cuda: versions, "" for none."""
    packages = virtual_packages(platform, glibc=glibc, cuda=cuda)
    held = (("cuda-version", cuda),) if cuda else ()
    return Target(SUBDIRS[platform], glibc, tuple(packages), held)


def installed_at(scratch: Path) -> Path:
    """Return the prefix below a scratch folder; short, because it is written into scripts."""
    return scratch / "p"


def plan_of(
    source: Input,
    config: EnvConfig,
    target: Target,
    engine: Engine,
    reader: RattlerEngine,
    *,
    gpu: Gpu | None = None,
) -> Plan:
    """Solve a specification with `engine`, or read a lock with `reader`.

    gpu: that the result is for GPUs; then CPU builds are refused.
    Raises InputError, SolveError, and InstallError when a channel cannot be read.
    """
    if not is_specification(source):
        locked = read_locked(
            source,
            reader,
            target.subdir,
            environment=config.environment,
            categories=config.categories,
        )
        if gpu:
            check_locked(locked.lock.packages, locked.lock.pypi, gpu, source.describe)
        return Plan(locked.lock, notes=locked.notes)
    channels = config.channels
    if source.kind is InputKind.SPECS:
        channels = channels or DEFAULT_CHANNELS
    spec = read_spec(source, target.subdir, channels)
    if config.cuda_compat:
        spec = replace(spec, specs=(*spec.specs, f"cuda-compat {config.cuda}.*"))
    strict = config.channel_priority == "strict"
    locked = solve_for(spec, target, engine, reader, gpu, strict_priority=strict)
    return Plan(locked.lock, spec, locked.notes)


def carry_out(
    plan: Plan,
    target: Target,
    engine: Engine,
    scratch: Path,
    progress: Progress,
    *,
    gpu: Gpu | None = None,
    nearby: Sequence[Path] = (),
) -> tuple[Plan, Installed]:
    """Install a plan at `installed_at(scratch)`; return it with what pip resolved.

    nearby: folders whose wheels are taken before any is fetched. gpu: as for `plan_of`.
    Raises InstallError, and SolveError for pip requirements that cannot be met.
    """
    prefix = installed_at(scratch)
    engine.install(plan.lock, prefix, progress=progress)
    installed = read_installed(prefix)
    work = scratch / "pip"
    options: tuple[str, ...] = ()
    if plan.spec and plan.spec.pip:
        work.mkdir(exist_ok=True)
        lock, resolution = resolve_pip(plan.spec, plan.lock, prefix, target, work, progress)
        if gpu:
            check_distributions(lock.pypi, gpu, plan.spec)
        plan = replace(plan, lock=lock, notes=(*plan.notes, *resolution.notes))
        options = resolution.options
    if not plan.lock.pypi:
        return plan, installed
    work.mkdir(exist_ok=True)
    install(
        plan.lock.pypi,
        prefix=prefix,
        installed=installed,
        subdir=target.subdir,
        glibc=target.glibc,
        scratch=work,
        progress=progress,
        options=options,
        nearby=nearby,
    )
    return plan, read_installed(prefix)
