"""Does a lock still give what a specification asks for? Answered from the two alone.

Compared are the match specs, the channels, the dependencies of what is locked,
and whether anything is locked that nothing needs. Newer versions in a channel
are no disagreement: that is what a lock is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from slimpack.env.inputs.spec import EnvSpec, is_package_file
from slimpack.env.inputs.text import parse_yaml
from slimpack.env.locks.agreement_pip import pip_disagreements
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.rattler.engine import lock_facts
from slimpack.env.redact import redacted

_FRAGMENT = re.compile(r"(?:(?:md5|sha256):)?(?P<digest>[0-9a-f]+)\Z")
_PURL = re.compile(r"pkg:pypi/(?P<name>[^@?#]+)")
# conda itself makes these dependencies of Python.
_WITH_PYTHON = ("pip", "setuptools", "wheel")


def disagreements(
    spec: EnvSpec, lock: Lock, virtual_packages: Sequence[tuple[str, str, str]] = ()
) -> tuple[str, ...]:
    """Return what keeps `lock` from being a lock of `spec`, one sentence each; () when nothing.

    virtual_packages: (name, version, build) of the platform; without them,
    dependencies on such packages are taken to be met. Raises InputError for a
    malformed specification.
    """
    facts = lock_facts(spec, lock, virtual_packages)
    locked = {package.name: package for package in lock.packages}
    return (
        *_platform(spec, lock),
        *_specs(facts["specs"], locked, judged=bool(virtual_packages)),
        *_channels(facts, locked),
        *_dependencies(facts["packages"], locked, judged=bool(virtual_packages)),
        *_unneeded(facts, locked),
        *pip_disagreements(spec, lock, _provided(lock)),
    )


def _platform(spec: EnvSpec, lock: Lock) -> Iterator[str]:
    if spec.platforms and lock.platform not in spec.platforms:
        yield (
            f"{lock.platform} is locked, but the specification is for {', '.join(spec.platforms)}"
        )


def _specs(
    specs: Sequence[Mapping[str, Any]], locked: Mapping[str, LockedPackage], *, judged: bool
) -> Iterator[str]:
    for spec in specs:
        text, package = redacted(spec["spec"]), locked.get(spec["name"])
        if spec["name"].startswith("__"):
            if judged and not spec["satisfied"]:
                yield f"{text} is asked for, which the platform does not offer"
        elif package is None:
            yield f"{text} is asked for, but no {spec['name']} is locked"
        elif is_package_file(spec["spec"]):
            if not _is_file(spec["spec"], package):
                yield f"{text} is asked for, but {redacted(package.url)} is locked"
        elif not spec["satisfied"]:
            yield f"{text} is asked for, but {package.dist} is locked"
        elif not _from_channel(package, spec["channel"], spec["subdir"]):
            yield f"{text} is asked for, but {redacted(package.url)} is locked"


def _is_file(text: str, package: LockedPackage) -> bool:
    url, _, fragment = text.partition("#")
    match = _FRAGMENT.match(fragment.lower())
    same = match is None or match["digest"] in (package.md5, package.sha256)
    return same and _plain(url) == _plain(package.url)


def _from_channel(package: LockedPackage, channel: str, subdir: str) -> bool:
    from_channel = not channel or _plain(package.url).startswith(_base(channel))
    return from_channel and (not subdir or package.subdir == subdir)


def _plain(url: str) -> str:
    return unquote(redacted(url))


def _base(channel: str) -> str:
    return f"{_plain(channel).rstrip('/')}/"


def _channels(facts: Mapping[str, Any], locked: Mapping[str, LockedPackage]) -> Iterator[str]:
    named = [*facts["channels"], *(spec["channel"] for spec in facts["specs"] if spec["channel"])]
    bases = tuple(_base(channel) for channel in named)
    files = {spec["name"] for spec in facts["specs"] if is_package_file(spec["spec"])}
    origins: dict[str, list[str]] = {}
    for name, package in locked.items():
        if name not in files and not _plain(package.url).startswith(bases):
            origins.setdefault(redacted(package.url).rsplit("/", 2)[0], []).append(package.dist)
    for origin, dists in origins.items():
        yield f"{origin} is no channel of the specification, but {_some(dists)} locked from it"


def _some(dists: Sequence[str]) -> str:
    if len(dists) == 1:
        return f"{dists[0]} is"
    return f"{dists[0]} and {len(dists) - 1} more are"


def _dependencies(
    packages: Sequence[Mapping[str, Any]], locked: Mapping[str, LockedPackage], *, judged: bool
) -> Iterator[str]:
    for package in packages:
        dist = locked[package["name"]].dist
        for edge in package["depends"]:
            found, spec = locked.get(edge["name"]), edge["spec"]
            virtual = edge["name"].startswith("__")
            if edge["satisfied"] or edge["conditional"] or (virtual and not judged):
                continue
            if virtual:
                yield f"{dist} needs {spec}, which the platform does not offer"
            elif found is None:
                yield f"{dist} needs {spec}, which is not locked"
            else:
                yield f"{dist} needs {spec}, but {found.dist} is locked"
        for edge in package["constrains"]:
            found = locked.get(edge["name"])
            if edge["satisfied"] is False and not edge["conditional"] and found is not None:
                yield f"{dist} goes only with {edge['spec']}, but {found.dist} is locked"


def _unneeded(facts: Mapping[str, Any], locked: Mapping[str, LockedPackage]) -> Iterator[str]:
    edges = {
        package["name"]: [edge["name"] for edge in package["depends"]]
        for package in facts["packages"]
    }
    if not any(edges.values()):
        return  # an @EXPLICIT list without its channels tells of no dependencies
    if "python" in edges:
        edges["python"] = [*edges["python"], *_WITH_PYTHON]
    needed: set[str] = set()
    waiting = [spec["name"] for spec in facts["specs"]]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += edges.get(name, ())
    for name, package in locked.items():
        if name not in needed:
            yield f"{package.dist} is locked, but nothing asks for it"


def _provided(lock: Lock) -> frozenset[str]:
    """Return the names under which pip knows the conda packages.

    Locks of pixi tell them (package URLs, ``pkg:pypi/NAME``). Else they are
    guessed from conda's habits: the same name, or with py- or python- before it.
    """
    names: set[str] = set()
    for package in lock.packages:
        name = canonicalize_name(package.name)
        names |= {name, name.removeprefix("python-"), re.sub(r"\Apy-?", "", name)}
    data = parse_yaml(lock.text, Path("the lock"))
    items = data.get("packages") if isinstance(data, dict) else ()
    for item in items or ():
        for purl in item.get("purls") or () if isinstance(item, dict) else ():
            if match := _PURL.match(str(purl)):
                names.add(canonicalize_name(match["name"]))
    return frozenset(names)
