"""The process in which py-rattler works; started by `slimpack.env.rattler.engine`.

Reads JSON requests, one a line, from standard input, and writes for each one JSON object a
line to standard output: ``{"event": ...}`` while it works, at last ``{"result": ...}``
or ``{"error": {"kind": ..., "message": ...}}``. At the end of its input it ends with `os._exit`,
because py-rattler 0.28 crashed in about one of ten interpreter shutdowns after
its work was done. It is a program of its own: of slimpack it imports nothing but its parts,
``worker_*``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import rattler
from rattler.exceptions import (
    FetchRepoDataError,
    GatewayError,
    InvalidChannelError,
    InvalidMatchSpecError,
    InvalidUrlError,
    SolverError,
)
from rattler.install import InstallerReporter
from rattler.networking.client import Client
from rattler.package import BuildString, PackageName
from rattler.platform import Subdir
from rattler.repo_data.gateway import Gateway
from rattler.version import Version
from rattler.virtual_package.generic import GenericVirtualPackage

from slimpack.env.rattler.worker_builds import cuda_builds as describe_builds
from slimpack.env.rattler.worker_explicit import explicit_records
from slimpack.env.rattler.worker_facts import facts
from slimpack.env.rattler.worker_fetch import fetch_all
from slimpack.env.rattler.worker_lock import (
    ENVIRONMENT,
    Part,
    RequestError,
    by_name,
    describe,
    lock_text,
    read_part,
)
from slimpack.env.rattler.worker_urls import check_pins, with_digests

_LAST_SECOND = 253_402_300_799  # of the year 9999
_write_lock = threading.Lock()


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
    specs = _match_specs(request["specs"])
    channels = _searched(request["channels"], specs)
    records = await rattler.solve(
        channels,
        specs,
        gateway=_gateway(request),
        platforms=[Subdir(request["subdir"]), Subdir("noarch")],
        virtual_packages=_virtual_packages(request),
        channel_priority=priority,
        constraints=_match_specs(request["constraints"]),
    )
    check_pins(records, specs)
    records = await with_digests(records, request["specs"])
    return _lock(request["subdir"], [channel.base_url for channel in channels], records)


def _searched(names: list[str], specs: list[rattler.MatchSpec]) -> list[rattler.Channel]:
    """Return the channels, and behind them those that only a spec names, as conda does."""
    channels = [rattler.Channel(name) for name in names]
    for spec in specs:
        if spec.channel and spec.channel.base_url not in {item.base_url for item in channels}:
            channels.append(spec.channel)
    return channels


async def resolve_explicit(request: dict[str, Any]) -> dict[str, Any]:
    """Make a lock of URLs; metadata comes from the channels where they list the file."""
    records, channels = await explicit_records(
        request["entries"], request["subdir"], _gateway(request)
    )
    return _answer(Part(request["subdir"], by_name(records), request["pypi"]), channels)


async def read_lock(request: dict[str, Any]) -> dict[str, Any]:
    """Read one environment and platform of a rattler lock file."""
    part, channels = read_part(request["lock"], request["environment"], request["subdir"])
    return _answer(part, channels)


async def merge_locks(request: dict[str, Any]) -> dict[str, Any]:
    """Make one lock file of the locks of several platforms, each with its PyPI packages."""
    parts, channels = [], list[str]()
    for lock in request["locks"]:
        part, named = read_part(lock["lock"], ENVIRONMENT, lock["subdir"])
        parts.append(replace(part, pypi=lock["pypi"]))
        channels += [channel for channel in named if channel not in channels]
    return {"lock": lock_text(parts, channels)}


async def cuda_builds(request: dict[str, Any]) -> dict[str, Any]:
    """Tell which of some packages have builds for CUDA in the channels, and of what kind."""
    specs = _match_specs(request["specs"])
    records = await _gateway(request).query(
        _searched(request["channels"], specs),
        [Subdir(request["subdir"]), Subdir("noarch")],
        list(request["texts"]),
        recursive=False,
    )
    found = (record for channel in records for record in channel)
    return {"packages": describe_builds(found, request["texts"], request["marks"])}


async def lock_facts(request: dict[str, Any]) -> dict[str, Any]:
    """Tell how a lock and specs fit together; nothing is fetched."""
    part, _ = read_part(request["lock"], ENVIRONMENT, request["subdir"])
    channels = [rattler.Channel(name).base_url for name in request["channels"]]
    found = facts(
        part, _match_specs(request["specs"]), request["specs"], request["virtual_packages"]
    )
    return {"channels": channels, **found}


async def lock_records(request: dict[str, Any]) -> dict[str, Any]:
    """Make a lock of repodata records that another solver chose."""
    channels = [rattler.Channel(name).base_url for name in request["channels"]]
    chosen = [_repodata_record(record) for record in request["records"]]
    records = await with_digests(chosen, [])
    return _lock(request["subdir"], channels, records)


def _repodata_record(fields: dict[str, Any]) -> rattler.RepoDataRecord:
    channel, _, file_name = fields["url"].rsplit("/", 2)
    record = rattler.PackageRecord(
        fields["name"],
        fields["version"],
        BuildString(fields.get("build") or fields.get("build_string") or ""),
        fields.get("build_number") or 0,
        fields["subdir"],
        noarch=fields.get("noarch") or None,
        depends=fields.get("depends") or [],
        constrains=fields.get("constrains") or [],
        sha256=bytes.fromhex(fields.get("sha256") or "") or None,
        md5=bytes.fromhex(fields.get("md5") or "") or None,
        size=fields.get("size") or None,
        license=fields.get("license") or None,
        python_site_packages_path=fields.get("python_site_packages_path") or None,
    )
    features = fields.get("track_features") or []
    record.track_features = (
        re.findall(r"[^,\s]+", features) if isinstance(features, str) else features
    )
    record.timestamp = _moment(fields.get("timestamp") or 0)
    return rattler.RepoDataRecord(record, file_name, fields["url"], channel)


def _moment(timestamp: int) -> datetime | None:
    # conda wrote seconds once and writes milliseconds now; what is too big for one is the other.
    seconds = timestamp if timestamp <= _LAST_SECOND else timestamp / 1000
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None


async def fetch_packages(request: dict[str, Any]) -> dict[str, Any]:
    """Have the package files of a lock."""
    part, _ = read_part(request["lock"], ENVIRONMENT, request["subdir"])
    caches = [Path(folder) for folder in request["caches"]]
    fetched = await fetch_all(
        part.records, Path(request["folder"]), caches, lambda: emit({"event": "fetched"})
    )
    return {"packages": fetched}


async def install(request: dict[str, Any]) -> dict[str, Any]:
    """Install a lock, or some packages of it by name, into a prefix."""
    part, _ = read_part(request["lock"], ENVIRONMENT, request["subdir"])
    only = request.get("only")
    places: dict[str, str] = request.get("places", {})
    for one in part.records:
        one.url = places.get(one.url, one.url)
    await rattler.install(
        [one for one in part.records if only is None or one.name.normalized in only],
        request["prefix"],
        cache_dir=Path(request["package_cache"]),
        installed_packages=[
            rattler.PrefixRecord.from_path(Path(path)) for path in request.get("there", ())
        ],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        client=Client.default_client(),
        # The protocol means its empty methods as defaults.
        reporter=Reporter(),  # type: ignore[abstract]
    )
    return {"installed": len(part.records)}


def _lock(
    subdir: str, channels: list[str], records: list[rattler.RepoDataRecord]
) -> dict[str, Any]:
    return _answer(Part(subdir, by_name(records), []), channels)


def _answer(part: Part, channels: list[str]) -> dict[str, Any]:
    return {
        "lock": lock_text([part], channels),
        "packages": [describe(record) for record in part.records],
        "pypi": part.pypi,
    }


_ACTIONS = {
    "solve": solve,
    "resolve_explicit": resolve_explicit,
    "read_lock": read_lock,
    "merge_locks": merge_locks,
    "cuda_builds": cuda_builds,
    "lock_facts": lock_facts,
    "lock_records": lock_records,
    "fetch_packages": fetch_packages,
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
    """Serve the requests on standard input and leave without a shutdown."""
    for line in sys.stdin:
        emit(run(json.loads(line)))
    os._exit(0)


if __name__ == "__main__":
    main()
