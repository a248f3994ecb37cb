"""Locks of package URLs (``@EXPLICIT``, conda-lock.yml), for the process of py-rattler.

It imports nothing of slimpack but its siblings, like `worker`.
"""

from __future__ import annotations

import re
from typing import Any

import rattler
from rattler.exceptions import FetchRepoDataError, GatewayError, InvalidUrlError
from rattler.package import BuildString, NoArchLiteral
from rattler.platform import Subdir
from rattler.repo_data.gateway import Gateway

from slimpack.env.rattler.worker_lock import RequestError

_ARCHIVE = re.compile(r"(.+)-([^-]+)-([^-]+)\.(conda|tar\.bz2)\Z")
_PARTS = 3  # CHANNEL/SUBDIR/FILE


async def explicit_records(
    entries: list[dict[str, Any]], subdir: str, gateway: Gateway
) -> tuple[list[rattler.RepoDataRecord], list[str]]:
    """Return the packages and their channels; metadata comes from where those list the file.

    entries: ``url``, ``digests`` (algorithm -> hex) and ``depends``, used where no
    channel tells more.
    """
    for entry in entries:
        parts = entry["url"].rsplit("/", 2)
        if len(parts) != _PARTS:
            raise RequestError("input", f"{entry['url']} is not CHANNEL/SUBDIR/FILE")
        if parts[1].startswith(("linux-", "osx-", "win-")) and parts[1] != subdir:
            raise RequestError("platform", f"{entry['url']} is not for {subdir}")
    found: dict[str, rattler.RepoDataRecord] = {}
    channels = sorted({entry["url"].rsplit("/", 2)[0] for entry in entries})
    for channel in channels:
        for record in await _listed(gateway, channel, entries, subdir):
            found[record.url] = record
    records = [
        _checked(found.get(entry["url"]) or _bare_record(entry["url"], entry["depends"]), entry)
        for entry in entries
    ]
    return records, [rattler.Channel(channel).base_url for channel in channels]


async def _listed(
    gateway: Gateway, channel: str, entries: list[dict[str, Any]], subdir: str
) -> list[rattler.RepoDataRecord]:
    names = [
        rattler.MatchSpec(_split(entry["url"])[0])
        for entry in entries
        if entry["url"].startswith(channel + "/")
    ]
    try:
        answers = await gateway.query(
            [rattler.Channel(channel)],
            [Subdir(subdir), Subdir("noarch")],
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


def _bare_record(url: str, depends: list[str]) -> rattler.RepoDataRecord:
    name, version, build = _split(url)
    channel, subdir, file_name = url.rsplit("/", 2)
    tail = re.search(r"(\d+)\Z", build)
    noarch: NoArchLiteral = None
    if subdir == "noarch":
        noarch = "python" if build.startswith("py") else "generic"
    number = int(tail.group(1)) if tail else 0
    record = rattler.PackageRecord(
        name, version, BuildString(build), number, subdir, noarch=noarch, depends=depends
    )
    return rattler.RepoDataRecord(record, file_name, url, channel)


def _checked(record: rattler.RepoDataRecord, entry: dict[str, Any]) -> rattler.RepoDataRecord:
    """Give the record the digests of the list; those that the channel tells must be the same."""
    for algorithm, digest in entry["digests"].items():
        expected = bytes.fromhex(digest)
        listed = record.md5 if algorithm == "md5" else record.sha256
        if listed is not None and listed != expected:
            raise RequestError(
                "install",
                f"{entry['url']}: the lock says {algorithm} {digest}, the channel {listed.hex()}",
            )
        if algorithm == "md5":
            record.md5 = expected
        else:
            record.sha256 = expected
    return record
