"""CPU builds of packages that have builds for CUDA, where somebody wants to use a GPU.

A solver takes a CPU build without a word when a spec, a channel or the version of CUDA
leaves it no other; then the image runs, slowly, and nobody knows why. What was solved is
compared with the channels' own lists; of a lock or an environment only what
``cuda_packages.toml`` names is judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from packaging.utils import canonicalize_name

from slimpack.env.inputs.spec import EnvSpec, is_package_file
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.env.specs import spec_name
from slimpack.errors import InputError, SolveError
from slimpack.toml import read_toml

MARKS = ("__cuda", "cuda-version", "cuda-cudart", "cudatoolkit")
"""What only builds for CUDA depend on."""

_FILE = Path(__file__).with_name("cuda_packages.toml")
_CPU_VERSION = re.compile(r"\+cpu\b")


@dataclass(frozen=True)
class Gpu:
    """That the result is for GPUs.

    cuda: the version that was asked for, "" when only the runtime tells.
    allow: globs of packages, or of their families, whose CPU builds are wanted.
    """

    cuda: str = ""
    allow: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """What was asked for, in words."""
        return f"CUDA {self.cuda}" if self.cuda else "a runtime for GPUs"


class Built(Protocol):
    """A conda package, locked or installed; `depends` are match specs or names."""

    @property
    def name(self) -> str:
        """The package."""

    @property
    def dist(self) -> str:
        """Name, version and build."""

    @property
    def build(self) -> str:
        """The build string."""

    @property
    def depends(self) -> tuple[str, ...]:
        """What it needs."""


class Distribution(Protocol):
    """What pip installs; names are normalised."""

    @property
    def name(self) -> str:
        """The distribution."""

    @property
    def version(self) -> str:
        """Its version, with what a local part says (``2.9.0+cpu``)."""


def check_locked(
    packages: Iterable[Built], pypi: Iterable[Distribution], gpu: Gpu, source: str
) -> None:
    """Raise InputError for packages of a lock or an environment that are for CPUs only."""
    conda = {one.name: f"{one.dist}: a CPU build" for one in known_cpu_builds(packages, gpu)}
    bad = {**conda, **cpu_distributions(pypi, gpu)}
    if bad:
        raise InputError(
            f"{source}: packages for CPUs, but {gpu.asked} is asked for",
            details="\n".join(bad.values()),
            hint=f"solve it again with cuda set, or {_allowing(next(iter(bad)))}",
        )


def known_cpu_builds(packages: Iterable[Built], gpu: Gpu) -> list[Built]:
    """Return the packages that are known to have builds for CUDA and are of another build."""
    return [
        package
        for package in packages
        if _family(package.name) and not for_cuda(package) and not _allowed(package.name, gpu)
    ]


def for_cuda(package: Built) -> bool:
    """Tell whether a package is a build for CUDA."""
    needed = {spec_name(text) for text in package.depends}
    return "cuda" in package.build.lower() or not needed.isdisjoint(MARKS)


def cpu_distributions(pypi: Iterable[Distribution], gpu: Gpu) -> dict[str, str]:
    """Return name -> a sentence for what pip installs and is for CPUs only."""
    found = {one.name: one.version for one in pypi}
    table = _known()["pypi"]
    sentences = {}
    for name, version in found.items():
        beside = table.get(name, ())
        for_cpu = name in table and not any(other in found for other in beside)
        if (for_cpu or _CPU_VERSION.search(version)) and not _allowed(name, gpu):
            instead = f", without {' or '.join(beside)}" if beside else ""
            sentences[name] = f"{name} {version} of pip: for CPUs only{instead}"
    return sentences


def check_distributions(pypi: Iterable[Distribution], gpu: Gpu, spec: EnvSpec) -> None:
    """Raise SolveError for what pip resolved from a specification and is for CPUs only."""
    bad = cpu_distributions(pypi, gpu)
    if bad:
        lines = [f"  asked for by {line!r}" for line in spec.pip if _pip_name(line) in bad]
        raise SolveError(
            f"{spec.source}: packages for CPUs, but {gpu.asked} is asked for",
            details="\n".join((*bad.values(), *lines)),
            hint=f"change the 'pip:' section, or {_allowing(next(iter(bad)))}",
        )


def check_solved(
    spec: EnvSpec,
    lock: Lock,
    gpu: Gpu,
    reader: RattlerEngine,
    solve: Callable[[EnvSpec], Lock],
) -> tuple[str, ...]:
    """Raise SolveError when a package was solved to a CPU build although it has others.

    That is an error for what the specification names and for what is known
    (``cuda_packages.toml``); other packages are told in the notes that are returned.
    solve: solves another specification in the same way; asked to explain.
    """
    asked = {spec_name(text): text for text in spec.specs if not is_package_file(text)}
    doubtful = [
        package
        for package in lock.packages
        if not for_cuda(package)
        and not _allowed(package.name, gpu)
        and (package.name in asked or _family(package.name) or "cpu" in package.build)
    ]
    if not doubtful:
        return ()
    texts = {package.name: _texts(package, spec, lock) for package in doubtful}
    channels = reader.cuda_builds(spec, lock.platform, texts, MARKS)
    bad = [package for package in doubtful if package.name in channels]
    grave = [package for package in bad if package.name in asked or _family(package.name)]
    if grave:
        raise _refusal(grave, spec, lock, gpu, channels, solve)
    return tuple(
        f"{package.dist} is a CPU build, and the channel has builds for CUDA; "
        "nothing asked for it by name"
        for package in bad
    )


def _texts(package: LockedPackage, spec: EnvSpec, lock: Lock) -> list[str]:
    """Return every match spec that had a say in which build of a package was taken."""
    own = [text for text in spec.specs if spec_name(text) == package.name]
    needs = [text for other in lock.packages for text in other.depends]
    return list(dict.fromkeys((*own, *(t for t in needs if spec_name(t) == package.name))))


def _refusal(
    bad: Sequence[LockedPackage],
    spec: EnvSpec,
    lock: Lock,
    gpu: Gpu,
    channels: Mapping[str, Mapping[str, Any]],
    solve: Callable[[EnvSpec], Lock],
) -> SolveError:
    names = {package.name for package in bad}
    lines: list[str] = []
    first: LockedPackage | None = None
    for package in bad:
        known = channels[package.name]
        reasons = list(_reasons(package, known["excluding"], spec, lock, names))
        if known["excluding"] and not reasons:
            continue  # another of these brings it
        first = first or (None if reasons else package)
        lines.append(f"{package.dist} is a CPU build; {_on_offer(package.name, known)}")
        lines += [f"  {reason}" for reason in dict.fromkeys(reasons)]
    advice = "change that spec"
    if first is not None:
        explanation, advice = _explained(first, spec, gpu, channels[first.name], solve)
        lines += explanation
    return SolveError(
        f"{spec.source}: a CPU build of {_list(sorted(names))} was chosen, "
        f"but {gpu.asked} is asked for",
        details="\n".join(lines),
        hint=f"{advice}, or {_allowing(bad[0].name)}",
    )


def _reasons(
    package: LockedPackage,
    excluding: Sequence[str],
    spec: EnvSpec,
    lock: Lock,
    bad: set[str],
) -> Iterator[str]:
    """Yield which specs and which packages leave no build for CUDA, the causes only."""
    for text in excluding:
        if text in spec.specs:
            yield f"the spec {text!r} matches none of these"
        for other in lock.packages:
            if text not in other.depends or other.name in bad:
                continue
            asked = next((one for one in spec.specs if spec_name(one) == other.name), "")
            why = f" (asked for by the spec {asked!r})" if asked else ""
            yield f"{other.dist}{why} needs {text!r}, which matches none of these"


def _on_offer(name: str, known: Mapping[str, Any]) -> str:
    needs, one = ", ".join(known["needs"]), known["count"] == 1
    builds = "is 1 build" if one else f"are {known['count']} builds"
    asking = f", which {'needs' if one else 'need'} {needs}" if needs else ""
    return f"there {builds} of {name} for CUDA, the newest of version {known['newest']}{asking}"


def _explained(
    package: LockedPackage,
    spec: EnvSpec,
    gpu: Gpu,
    known: Mapping[str, Any],
    solve: Callable[[EnvSpec], Lock],
) -> tuple[list[str], str]:
    """Return what the solver says when a build for CUDA is asked for by name, and what to do."""
    if not gpu.cuda:
        lines = ["  no CUDA was offered to the solver, so it could take none of them"]
        return lines, 'set cuda = "12.8" under [env] (--cuda)'
    wanted = str(known["spec"])
    beside = f"with {wanted!r} beside the other specs"
    try:
        solve(replace(spec, specs=(*spec.specs, wanted)))
    except SolveError as error:
        lines = [f"  {beside}, the solver says:", error.details]
        return lines, "ask for a CUDA that it is built for, or loosen what the explanation names"
    return [f"  the solver prefers {package.dist}; {beside} it works"], f"add {wanted!r}"


def _allowing(name: str) -> str:
    family = _family(name) or name
    return f'allow it: [env] allow_cpu = ["{family}"] (--allow-cpu {family})'


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pip_name(line: str) -> str:
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    return canonicalize_name(match[0]) if match else ""


def _allowed(name: str, gpu: Gpu) -> bool:
    names = {name, _family(name) or name}
    return any(fnmatchcase(one, glob) for one in names for glob in gpu.allow)


def _family(name: str) -> str:
    return _families().get(name, "")


@lru_cache(maxsize=1)
def _families() -> dict[str, str]:
    """Return package -> its family."""
    conda: Mapping[str, Sequence[str]] = _known()["conda"]
    return {name: family for family, names in conda.items() for name in names}


@lru_cache(maxsize=1)
def _known() -> dict[str, Any]:
    return read_toml(_FILE)
