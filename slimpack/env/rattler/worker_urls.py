"""Packages that specs name by URL, and pins; for the process in which py-rattler works.

rattler's solver reads a package behind a URL without keeping its digest, and
takes ``channel/subdir::name`` from any subdir. Both are made good here.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import rattler
from rattler.networking.client import Client
from rattler.package_streaming import download_to_path

from slimpack.env.rattler.worker_lock import RequestError

_FRAGMENT = re.compile(r"(?P<url>[^#]+)#(?:(?P<kind>md5|sha256):)?(?P<digest>[0-9a-fA-F]+)\Z")
_CHUNK = 1 << 20


def check_pins(records: list[rattler.RepoDataRecord], specs: list[rattler.MatchSpec]) -> None:
    """Refuse a solution that took a package from another subdir than a spec pins it to."""
    chosen = {record.name.normalized: record for record in records}
    for spec in specs:
        record = chosen.get(spec.name.normalized)
        if spec.subdir and record is not None and record.subdir != spec.subdir:
            raise RequestError(
                "solve",
                f"{spec.name.normalized}: pinned to {spec.subdir}, but the package that fits "
                f"is {record.url}",
            )


async def with_digests(
    records: list[rattler.RepoDataRecord], specs: list[str]
) -> list[rattler.RepoDataRecord]:
    """Give the records that have no digest (those from URLs) the digests of their files.

    specs: a URL among them may end in ``#MD5``, ``#sha256:HEX``; it must then fit.
    """
    wanted = {
        match["url"]: match["digest"].lower() for text in specs if (match := _FRAGMENT.match(text))
    }
    client = Client.default_client()
    with tempfile.TemporaryDirectory() as folder:
        for record in records:
            if record.sha256 is None and record.md5 is None:
                await _digest(record, client, Path(folder, "package"))
            expected = wanted.get(record.url, "")
            found = {value.hex() for value in (record.md5, record.sha256) if value}
            if expected and expected not in found:
                raise RequestError(
                    "install",
                    f"{record.url}: the specification says {expected}, the file has "
                    f"{' and '.join(sorted(found))}",
                )
    return records


async def _digest(record: rattler.RepoDataRecord, client: Client, scratch: Path) -> None:
    parts = urlsplit(record.url)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else scratch
    try:
        if parts.scheme != "file":
            await download_to_path(client, record.url, scratch)
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                md5.update(chunk)
                sha256.update(chunk)
    except Exception as error:  # py-rattler's errors have no common base
        raise RequestError("fetch", f"{record.url}: {error}") from error
    record.md5, record.sha256 = md5.digest(), sha256.digest()
    record.size = path.stat().st_size
