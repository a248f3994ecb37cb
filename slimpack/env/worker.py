"""The process in which py-rattler works; started by `slimpack.env.rattler`.

Reads one JSON request from standard input, writes one JSON object a line to
standard output: ``{"event": ...}`` while it works, at last ``{"result": ...}``
or ``{"error": {"kind": ..., "message": ...}}``. It ends with `os._exit`,
because py-rattler 0.28 crashed in about one of ten interpreter shutdowns after
its work was done. It imports nothing of slimpack: it is a program of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import rattler
from rattler.exceptions import (
    FetchRepoDataError,
    GatewayError,
    InvalidChannelError,
    InvalidMatchSpecError,
    InvalidUrlError,
    ParseCondaLockError,
    SolverError,
)
from rattler.install import InstallerReporter
from rattler.lock.platform import LockPlatform
from rattler.networking.client import Client
from rattler.package import BuildString, NoArchLiteral, PackageName
from rattler.platform import Subdir
from rattler.repo_data.gateway import Gateway
from rattler.version import Version
from rattler.virtual_package.generic import GenericVirtualPackage

_ARCHIVE = re.compile(r"(.+)-([^-]+)-([^-]+)\.(conda|tar\.bz2)\Z")
_ENVIRONMENT = "default"
_write_lock = threading.Lock()


class RequestError(Exception):
    """A request that cannot be met; `kind` tells the parent which error to raise."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Reporter(InstallerReporter):
    """Turns py-rattler's callbacks (from many threads) into event lines."""

    def on_link_complete(self, index: int) -> None:
        """Tell that one package is in place."""
        emit({"event": "linked"})


def emit(message: dict[str, Any]) -> None:
    """Write one line to the parent; whole lines even from several threads."""
    with _write_lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def _gateway(request: dict[str, Any]) -> Gateway:
    return Gateway(cache_dir=Path(request["repodata_cache"]), client=Client.default_client())


def _virtual_packages(request: dict[str, Any]) -> list[GenericVirtualPackage]:
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
        for name, version, build in request["virtual_packages"]
    ]


def _match_specs(specs: list[str]) -> list[rattler.MatchSpec]:
    parsed = []
    for spec in specs:
        try:
            parsed.append(rattler.MatchSpec(spec))
        except InvalidMatchSpecError as error:
            raise RequestError("input", f"{spec!r} is not a match spec: {error}") from error
    return parsed


async def solve(request: dict[str, Any]) -> dict[str, Any]:
    """Solve specs for a subdir; the result holds the rattler lock file's text."""
    priority = (
        rattler.ChannelPriority.Strict
        if request["strict_priority"]
        else rattler.ChannelPriority.Disabled
    )
    channels = [rattler.Channel(name) for name in request["channels"]]
    records = await rattler.solve(
        channels,
        _match_specs(request["specs"]),
        gateway=_gateway(request),
        platforms=[Subdir(request["subdir"]), Subdir("noarch")],
        virtual_packages=_virtual_packages(request),
        channel_priority=priority,
    )
    return _lock(request["subdir"], [channel.base_url for channel in channels], records)


async def resolve_explicit(request: dict[str, Any]) -> dict[str, Any]:
    """Make a lock of URLs; metadata comes from the channels where they list the file."""
    for entry in request["entries"]:
        subdir = entry["url"].rsplit("/", 2)[1]
        other = subdir.startswith(("linux-", "osx-", "win-")) and subdir != request["subdir"]
        if other:
            raise RequestError("input", f"{entry['url']} is not for {request['subdir']}")
    gateway = _gateway(request)
    found: dict[str, rattler.RepoDataRecord] = {}
    channels = sorted({entry["url"].rsplit("/", 2)[0] for entry in request["entries"]})
    for channel in channels:
        for record in await _listed(gateway, channel, request):
            found[record.url] = record
    records = [
        _checked(found.get(entry["url"]) or _bare_record(entry["url"]), entry)
        for entry in request["entries"]
    ]
    return _lock(request["subdir"], channels, records)


async def _listed(
    gateway: Gateway, channel: str, request: dict[str, Any]
) -> list[rattler.RepoDataRecord]:
    names = [
        rattler.MatchSpec(_split(entry["url"])[0])
        for entry in request["entries"]
        if entry["url"].startswith(channel + "/")
    ]
    try:
        answers = await gateway.query(
            [rattler.Channel(channel)],
            [Subdir(request["subdir"]), Subdir("noarch")],
            names,
            recursive=False,
        )
    except (GatewayError, FetchRepoDataError, InvalidUrlError):
        # A plain folder of packages has no repodata; the URLs are enough to install.
        return []
    return [record for answer in answers for record in answer]


def _split(url: str) -> tuple[str, str, str]:
    match = _ARCHIVE.match(url.rsplit("/", 1)[1])
    if match is None:
        raise RequestError("input", f"{url!r} is not the URL of a conda package")
    return match.group(1), match.group(2), match.group(3)


def _bare_record(url: str) -> rattler.RepoDataRecord:
    name, version, build = _split(url)
    channel, subdir, file_name = url.rsplit("/", 2)
    tail = re.search(r"(\d+)\Z", build)
    noarch: NoArchLiteral = None
    if subdir == "noarch":
        noarch = "python" if build.startswith("py") else "generic"
    number = int(tail.group(1)) if tail else 0
    record = rattler.PackageRecord(name, version, BuildString(build), number, subdir, noarch=noarch)
    return rattler.RepoDataRecord(record, file_name, url, channel)


def _checked(record: rattler.RepoDataRecord, entry: dict[str, str]) -> rattler.RepoDataRecord:
    if not entry["digest"]:
        return record
    expected = bytes.fromhex(entry["digest"])
    listed = record.md5 if entry["algorithm"] == "md5" else record.sha256
    if listed is not None and listed != expected:
        raise RequestError(
            "install",
            f"{entry['url']}: the lock says {entry['algorithm']} {entry['digest']}, "
            f"the channel {listed.hex()}",
        )
    if entry["algorithm"] == "md5":
        record.md5 = expected
    else:
        record.sha256 = expected
    return record


async def read_lock(request: dict[str, Any]) -> dict[str, Any]:
    """Read one environment and platform of a rattler lock file."""
    lock_file = _open_lock(request["lock"])
    environment = lock_file.environment(request["environment"])
    if environment is None:
        known = ", ".join(sorted(name for name, _ in lock_file.environments()))
        raise RequestError("input", f"no environment {request['environment']!r} (has: {known})")
    platform = _lock_platform(environment, request["subdir"])
    if environment.pypi_packages_for_platform(platform):
        raise RequestError("input", "the lock holds PyPI packages, which are not supported yet")
    records = environment.conda_repodata_records_for_platform(platform) or []
    channels = [str(channel) for channel in environment.channels()]
    return _lock(request["subdir"], channels, records)


def _open_lock(path: str) -> rattler.LockFile:
    try:
        return rattler.LockFile.from_path(Path(path))
    except (ParseCondaLockError, OSError) as error:
        raise RequestError("input", f"not a rattler lock file: {error}") from error


def _lock_platform(environment: Any, subdir: str) -> LockPlatform:
    for platform in environment.platforms():
        if str(platform.subdir) == subdir:
            return platform  # type: ignore[no-any-return]
    known = ", ".join(str(platform.subdir) for platform in environment.platforms())
    raise RequestError("input", f"no packages for {subdir} (has: {known})")


async def install(request: dict[str, Any]) -> dict[str, Any]:
    """Install a lock into a prefix."""
    environment = _open_lock(request["lock"]).environment(_ENVIRONMENT)
    assert environment is not None
    platform = _lock_platform(environment, request["subdir"])
    records = environment.conda_repodata_records_for_platform(platform) or []
    await rattler.install(
        records,
        request["prefix"],
        cache_dir=Path(request["package_cache"]),
        installed_packages=[],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        client=Client.default_client(),
        # The protocol means its empty methods as defaults.
        reporter=Reporter(),  # type: ignore[abstract]
    )
    return {"installed": len(records)}


def _lock(
    subdir: str, channels: list[str], records: list[rattler.RepoDataRecord]
) -> dict[str, Any]:
    platform = LockPlatform(subdir)
    lock_file = rattler.LockFile([platform])
    lock_file.set_channels(_ENVIRONMENT, [rattler.LockChannel(url) for url in channels])
    ordered = sorted(records, key=lambda record: record.name.normalized)
    for record in ordered:
        lock_file.add_conda_package(_ENVIRONMENT, platform, record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixi.lock")
        lock_file.to_path(path)
        text = path.read_text(encoding="utf-8")
    return {"lock": text, "packages": [_describe(record) for record in ordered]}


def _describe(record: rattler.RepoDataRecord) -> dict[str, Any]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "url": record.url,
        "sha256": record.sha256.hex() if record.sha256 else "",
        "md5": record.md5.hex() if record.md5 else "",
        "size": record.size or 0,
        "license": record.license or "",
        "depends": list(record.depends),
    }


_ACTIONS = {
    "solve": solve,
    "resolve_explicit": resolve_explicit,
    "read_lock": read_lock,
    "install": install,
}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request and return the closing message, error or result."""
    try:
        return {"result": asyncio.run(_ACTIONS[request["action"]](request))}
    except RequestError as error:
        return {"error": {"kind": error.kind, "message": str(error)}}
    except SolverError as error:
        return {"error": {"kind": "solve", "message": str(error)}}
    except (InvalidChannelError, InvalidMatchSpecError, InvalidUrlError) as error:
        return {"error": {"kind": "input", "message": str(error)}}
    except (GatewayError, FetchRepoDataError) as error:
        return {"error": {"kind": "fetch", "message": str(error)}}
    except Exception as error:
        # py-rattler's errors have no common base; the parent explains by the action.
        kind = "unexpected" if request["action"] == "solve" else request["action"]
        return {"error": {"kind": kind, "message": f"{type(error).__name__}: {error}"}}


def main() -> None:
    """Serve the one request on standard input and leave without a shutdown."""
    emit(run(json.load(sys.stdin)))
    os._exit(0)


if __name__ == "__main__":
    main()
