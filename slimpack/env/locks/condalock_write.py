"""Writing conda-lock.yml, version 1; see `slimpack.env.locks.condalock` for the format."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock
from slimpack.env.redact import redacted
from slimpack.errors import InputError

_COMMIT = re.compile(r"@(?P<commit>[0-9a-f]{40,64})(?:[#?].*)?\Z")


def write_conda_lock(locks: Sequence[Lock], spec: EnvSpec) -> str:
    """Return the locks of several platforms as one conda-lock.yml.

    spec: its channels and source stand in the metadata. Raises InputError for a
    package without an MD5 digest, which conda-lock insists on.
    """
    ordered = sorted(locks, key=lambda lock: lock.platform)
    channels = spec.channels or tuple(
        dict.fromkeys(
            package.url.rsplit("/", 2)[0] for lock in ordered for package in lock.packages
        )
    )
    entries = [entry for lock in ordered for entry in (*_conda_out(lock), *_pypi_out(lock))]
    document = {
        "version": 1,
        "metadata": {
            "content_hash": {lock.platform: _content_hash(spec, lock.platform) for lock in ordered},
            "channels": [{"url": redacted(url), "used_env_vars": []} for url in channels],
            "platforms": [lock.platform for lock in ordered],
            "sources": [Path(spec.source).name] if spec.folder and spec.source else [],
        },
        # conda-lock's own order: LockedDependency.key(), manager, name, platform.
        "package": sorted(
            entries, key=lambda entry: (entry["manager"], entry["name"], entry["platform"])
        ),
    }
    return yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _content_hash(spec: EnvSpec, platform: str) -> str:
    """Return a digest of what was asked for; conda-lock only compares it with its own."""
    asked = [platform, list(spec.channels), list(spec.specs), list(spec.pip)]
    return hashlib.sha256(redacted(json.dumps(asked)).encode()).hexdigest()


def _conda_out(lock: Lock) -> Iterator[dict[str, Any]]:
    for package in lock.packages:
        if not package.md5:
            raise InputError(
                f"{package.dist} has no MD5 digest, which conda-lock.yml needs",
                hint="write a pixi.lock or an @EXPLICIT list",
            )
        hashes = {"md5": package.md5, **({"sha256": package.sha256} if package.sha256 else {})}
        yield {
            "name": package.name,
            "version": package.version,
            "manager": "conda",
            "platform": lock.platform,
            "dependencies": _dependencies(package.depends),
            "url": redacted(package.url),
            "hash": hashes,
            "category": "main",
            "optional": False,
        }


def _dependencies(depends: Sequence[str]) -> dict[str, str]:
    """Return NAME: VERSION pairs; two constraints on one package are joined."""
    found: dict[str, str] = {}
    for spec in depends:
        match = re.match(r"\s*([^\s=<>!~\[]+)\s*(.*)\Z", spec, re.DOTALL)
        if match is None:
            continue
        name, version = match[1], match[2].strip()
        found[name] = f"{found[name]},{version}" if found.get(name) and version else version
    return dict(sorted(found.items()))


def _pypi_out(lock: Lock) -> Iterator[dict[str, Any]]:
    for package in lock.pypi:
        url = redacted(package.url)
        commit = _COMMIT.search(url) if url.startswith("git+") else None
        digest = commit["commit"] if commit else package.sha256
        entry = {
            "name": package.name,
            "version": package.version,
            "manager": "pip",
            "platform": lock.platform,
            "dependencies": _requirements(package.requires),
            "url": url,
            "hash": {"sha256": digest} if digest else {},
            "category": "main",
            "optional": False,
        }
        if commit or url.startswith("file:"):
            entry["source"] = {"type": "url", "url": url}
        yield entry


def _requirements(requires: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or "extra" not in str(requirement.marker):
            found[canonicalize_name(requirement.name)] = str(requirement.specifier) or "*"
    return dict(sorted(found.items()))
