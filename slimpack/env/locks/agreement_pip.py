"""The pip half of `slimpack.env.locks.agreement`: requirements against locked PyPI packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import canonicalize_name

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock, PypiPackage
from slimpack.env.pypi.requirements import Requirement, read_requirements
from slimpack.env.redact import redacted

_VCS = re.compile(
    r"(?P<repository>(?:git|hg|svn|bzr)\+[^#]+?)(?:@(?P<revision>[^@/#]+))?(?:#.*)?\Z"
)
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}


def pip_disagreements(spec: EnvSpec, lock: Lock, provided: frozenset[str]) -> tuple[str, ...]:
    """Return what keeps `Lock.pypi` from meeting the ``pip:`` section, one sentence each.

    provided: normalised names of distributions that conda packages bring. Raises
    InputError for malformed lines and for local paths that do not exist.
    """
    wanted = read_requirements(
        spec.pip, folder=spec.folder or Path(), source=spec.source
    ).requirements
    locked = {package.name: package for package in lock.pypi}
    environment = _environment(lock)
    found: list[str] = []
    waiting: list[tuple[str, frozenset[str]]] = []
    for requirement in wanted:
        name, extras, problem = _root(requirement, locked, provided, environment)
        found += [problem] if problem else []
        waiting += [(name, extras)] if name else []
    needed, problems = _closure(waiting, locked, environment)
    found += problems
    if len(locked) == len(needed) or any(package.requires for package in lock.pypi):
        found += [
            f"pip: {name} is locked, but nothing asks for it"
            for name in locked
            if name not in needed
        ]
    return tuple(found)


def _environment(lock: Lock) -> dict[str, str]:
    """Return the values of PEP 508's markers on the lock's platform."""
    python = lock.get("python")
    version = python.version if python else "3"
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": ".".join(version.split(".")[:2]),
        "python_full_version": version,
        "implementation_version": version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": _MACHINES.get(lock.platform, ""),
    }


def _root(
    requirement: Requirement,
    locked: Mapping[str, PypiPackage],
    provided: frozenset[str],
    environment: Mapping[str, str],
) -> tuple[str, frozenset[str], str]:
    """Return (name of the locked package, extras, what is wrong) for one line."""
    shown = redacted(requirement.text)
    try:
        parsed = None if requirement.path else Pep508(requirement.text)
    except InvalidRequirement:  # a URL without a name
        parsed = None
    if parsed is None:
        package = _at_place(requirement, locked)
        return (
            (package.name, _extras(requirement.extras), "")
            if package
            else ("", frozenset(), f"pip: {shown} is asked for, but is not locked")
        )
    if parsed.marker is not None and not parsed.marker.evaluate({**environment, "extra": ""}):
        return "", frozenset(), ""
    name = canonicalize_name(parsed.name)
    package = locked.get(name)
    if package is None:
        missing = "" if name in provided else f"pip: {shown} is asked for, but is not locked"
        return "", frozenset(), missing
    fits = _fits(parsed, package)
    problem = "" if fits else f"pip: {shown} is asked for, but {_shown(package)} is locked"
    return name, frozenset(parsed.extras), problem


def _extras(text: str) -> frozenset[str]:
    return frozenset(extra.strip() for extra in text.strip("[]").split(",") if extra.strip())


def _at_place(requirement: Requirement, locked: Mapping[str, PypiPackage]) -> PypiPackage | None:
    wanted = requirement.path.resolve().as_uri() if requirement.path else requirement.text
    return next((package for package in locked.values() if _same_place(wanted, package)), None)


def _same_place(wanted: str, package: PypiPackage) -> bool:
    asked, there = _VCS.match(redacted(wanted)), _VCS.match(redacted(package.url))
    if asked and there:
        revision = asked["revision"] or ""
        same = not _COMMIT.match(revision) or revision == there["revision"]
        return same and asked["repository"] == there["repository"]
    return redacted(wanted).partition("#")[0] == redacted(package.url).partition("#")[0]


def _fits(requirement: Pep508, package: PypiPackage) -> bool:
    if requirement.url:
        return _same_place(requirement.url, package)
    return not package.version or requirement.specifier.contains(package.version, prereleases=True)


def _shown(package: PypiPackage) -> str:
    return f"{package.name} {package.version or redacted(package.url)}"


def _closure(
    waiting: Sequence[tuple[str, frozenset[str]]],
    locked: Mapping[str, PypiPackage],
    environment: Mapping[str, str],
) -> tuple[set[str], list[str]]:
    """Follow requirements; return the locked packages that are needed and what does not fit.

    What is not locked may be a conda package under another name, so it is passed over.
    """
    seen: set[tuple[str, str]] = set()
    problems: dict[str, None] = {}
    todo = list(waiting)
    while todo:
        name, extras = todo.pop()
        for extra in {"", *extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for needed in _needs(locked[name], extra, environment):
                other = canonicalize_name(needed.name)
                if other not in locked:
                    continue
                todo.append((other, frozenset(needed.extras)))
                if not _fits(needed, locked[other]):
                    problems[
                        f"pip: {_shown(locked[name])} needs {needed}, "
                        f"but {_shown(locked[other])} is locked"
                    ] = None
    return {name for name, _ in seen}, list(problems)


def _needs(package: PypiPackage, extra: str, environment: Mapping[str, str]) -> Iterator[Pep508]:
    for text in package.requires:
        try:
            requirement = Pep508(text)
        except InvalidRequirement:
            continue  # old packages have such; pip has resolved them somehow
        marker = requirement.marker
        if marker is None or marker.evaluate({**environment, "extra": extra}):
            yield requirement
