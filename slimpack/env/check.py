"""What every engine checks: the specification before, the environment afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from slimpack.env.inputs.spec import EnvSpec, is_package_file
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.redact import redacted
from slimpack.errors import InputError, InstallError


def check_channels(spec: EnvSpec) -> None:
    """Raise InputError when nothing, or only a machine's configuration, names the channels."""
    if "defaults" in spec.channels or any(text.startswith("defaults::") for text in spec.specs):
        raise InputError(
            f"{spec.source}: the channel 'defaults' stands for those of conda's configuration, "
            "which no other machine has",
            hint="write the URLs of these channels in its place, or pass others with --channel",
        )
    if not spec.channels and not all("::" in text or is_package_file(text) for text in spec.specs):
        raise InputError(
            f"{spec.source}: no channels",
            hint="add 'channels: [conda-forge]' or pass --channel conda-forge",
        )


def check_installed(lock: Lock, prefix: Path) -> None:
    """Raise InstallError unless conda-meta holds exactly the locked packages.

    Compared are name, version and build, then subdir, URL (without credentials)
    and digests wherever both the lock and the record tell them.
    """
    records = {path.stem: path for path in Path(prefix, "conda-meta").glob("*.json")}
    locked = {package.dist: package for package in lock.packages}
    if records.keys() != locked.keys():
        missing = ", ".join(sorted(locked.keys() - records.keys())) or "none"
        extra = ", ".join(sorted(records.keys() - locked.keys())) or "none"
        raise InstallError(
            f"{prefix}: not the locked environment (missing: {missing}; not locked: {extra})"
        )
    for dist, package in locked.items():
        for key, found, expected in _differences(package, _record(records[dist])):
            raise InstallError(
                f"{prefix}: {dist} is not the locked package: its {key} is {found}, "
                f"the lock says {expected}",
                hint="another package of that name is in the package cache or the channel",
            )


def _differences(package: LockedPackage, record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (key, installed, locked) for what differs; "" is what one of them does not tell."""
    pairs = (
        ("name", str(record.get("name") or "").lower(), package.name.lower()),
        ("version", record.get("version"), package.version),
        ("build", record.get("build") or record.get("build_string"), package.build),
        ("subdir", record.get("subdir"), package.subdir),
        ("url", _plain(str(record.get("url") or "")), _plain(package.url)),
        ("sha256", record.get("sha256"), package.sha256),
        ("md5", record.get("md5"), package.md5),
    )
    for key, found, expected in pairs:
        if found and expected and found != expected:
            yield key, str(found), expected


def _plain(url: str) -> str:
    return unquote(redacted(url))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InstallError(f"{path}: not a conda-meta record ({error})") from error
    if not isinstance(record, dict):
        raise InstallError(f"{path}: not a conda-meta record")
    return record
