"""The package files of a lock, verified, with what a channel says of them.

For the process in which py-rattler works; it imports nothing of slimpack but its siblings.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import rattler
from rattler.networking.client import Client
from rattler.package_streaming import download_to_path

from slimpack.env.rattler.worker_lock import RequestError

_CHUNK = 1 << 20
_AT_ONCE = 4
_TRIES = 3
# What a record says of the place that it came from.
_OF_PLACE = ("fn", "url", "channel")


async def fetch_all(
    records: list[rattler.RepoDataRecord],
    folder: Path,
    caches: list[Path],
    on_fetched: Callable[[], None],
) -> list[dict[str, Any]]:
    """Have each package as a file; those that are in a cache, or local, stay where they are.

    Returns for each: ``path``, ``url``, ``subdir``, ``sha256``, ``size`` and ``record``, as
    repodata.json has it. Raises RequestError for a file that is not the one of the lock.
    """
    client = Client.default_client()
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, record: rattler.RepoDataRecord) -> dict[str, Any]:
        async with slots:
            found = await _fetched(record, folder, number, caches, client)
            on_fetched()
            return found

    return list(await asyncio.gather(*(one(*item) for item in enumerate(records))))


async def _fetched(
    record: rattler.RepoDataRecord, folder: Path, number: int, caches: list[Path], client: Client
) -> dict[str, Any]:
    if record.sha256 is None and record.md5 is None:
        raise RequestError("fetch_packages", f"{record.url}: the lock has no digest of it")
    parts = urlsplit(record.url)
    name = unquote(parts.path).rpartition("/")[2]
    local = [Path(unquote(parts.path))] if parts.scheme == "file" else []
    for path in (*local, *(cache / name for cache in caches)):
        if path.is_file():
            found = await asyncio.to_thread(_facts, path)
            if _fits(found, record):
                return await _described(found, record)
    if local:
        raise RequestError(
            "fetch_packages", f"{local[0]}: not the file of the lock, or not there any more"
        )
    place = folder / f"{number}-{name}"
    await _download(record.url, place, client)
    found = await asyncio.to_thread(_facts, place)
    if not _fits(found, record):
        raise RequestError(
            "fetch_packages",
            f"{record.url}: what comes from there has the SHA-256 {found['sha256']} and "
            f"{found['size']} bytes, the lock says something else",
        )
    return await _described(found, record)


async def _download(url: str, place: Path, client: Client) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            await download_to_path(client, url, place)
        except Exception as error:  # py-rattler's errors have no common base
            if attempt == _TRIES:
                raise RequestError("fetch_packages", f"{url}: {error}") from error
            await asyncio.sleep(attempt)
        else:
            return


def _facts(path: Path) -> dict[str, Any]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
    return {
        "path": str(path),
        "md5": md5.hexdigest(),
        "sha256": sha256.hexdigest(),
        "size": path.stat().st_size,
    }


def _fits(found: dict[str, Any], record: rattler.RepoDataRecord) -> bool:
    pairs = ((record.sha256, "sha256"), (record.md5, "md5"))
    return all(digest is None or digest.hex() == found[key] for digest, key in pairs)


async def _described(found: dict[str, Any], record: rattler.RepoDataRecord) -> dict[str, Any]:
    said = json.loads(record.to_json())
    if record.size is None and record.timestamp is None:
        # Of a list of URLs whose channel told nothing: the package itself knows.
        said = {**await _own_record(found["path"], record), **_sound(said)}
    said = {key: value for key, value in said.items() if key not in _OF_PLACE}
    said |= {key: found[key] for key in ("md5", "sha256", "size")}
    return {**found, "url": record.url, "subdir": record.subdir, "record": said}


async def _own_record(path: str, record: rattler.RepoDataRecord) -> dict[str, Any]:
    try:
        own = await rattler.RepoDataRecord.from_package_archive(path)
    except Exception as error:  # py-rattler's errors have no common base
        raise RequestError("fetch_packages", f"{record.url}: no package: {error}") from error
    found: dict[str, Any] = json.loads(own.to_json())
    return found


def _sound(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value not in (None, [], "")}
