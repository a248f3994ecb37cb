"""The signed list of a suite: Release files.

Format: the Debian repository format (wiki.debian.org/DebianRepository/Format,
"Release" files). Of its digests only SHA256 is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from slimpack.debian.stanzas import parse_stanza
from slimpack.errors import RuntimeBaseError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file that a Release vouches for; `path` is relative to the suite's folder."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Release:
    """What a verified Release says."""

    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    files: Mapping[str, FileRecord]

    def packages_index(self, component: str, architecture: str) -> FileRecord | None:
        """Return the best packed Packages index of a component, None if there is none."""
        for suffix in (".xz", ".gz", ""):
            record = self.files.get(f"{component}/binary-{architecture}/Packages{suffix}")
            if record is not None:
                return record
        return None

    def download_path(self, record: FileRecord) -> str:
        """Return where to fetch a file: by its digest if the archive offers that.

        Paths by digest cannot change between the Release and the index, plain
        ones do while a mirror is being updated.
        """
        if not self.by_hash:
            return record.path
        folder = record.path.rpartition("/")[0]
        return f"{folder}/by-hash/SHA256/{record.sha256}"


def parse_release(text: bytes, asked: str) -> Release:
    """Parse the signed text; it must be about the suite that was asked for.

    A mirror could otherwise answer with the good signature of another suite.
    """
    try:
        fields = parse_stanza(text.decode("utf-8"))
        date = _date(fields["date"])
        until = fields.get("valid-until")
        release = Release(
            suite=fields.get("suite", ""),
            codename=fields.get("codename", ""),
            date=date,
            valid_until=_date(until) if until else None,
            by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
            files=_files(fields.get("sha256", "")),
        )
    except (ValueError, KeyError) as error:
        raise RuntimeBaseError(
            f"the Release of {asked} cannot be read: {error}", hint="try another mirror"
        ) from error
    if asked not in (release.codename, release.suite):
        raise RuntimeBaseError(
            f"the mirror answered for {release.codename or release.suite!r} "
            f"when asked for {asked!r}",
            hint="try another mirror, or correct the runtime's suites",
        )
    return release


def check_fresh(release: Release, asked: str, now: datetime) -> None:
    """Raise when the time that the archive itself set for a Release is over.

    The real clock counts, never SOURCE_DATE_EPOCH: this is about being fooled
    with old, vulnerable packages, not about reproducible output.
    """
    if release.valid_until is not None and now > release.valid_until:
        raise RuntimeBaseError(
            f"the Release of {asked} was valid until {release.valid_until:%Y-%m-%d %H:%M} UTC",
            hint="the mirror is out of date (try another), or this machine's clock is wrong; "
            "for a base that never changes, pin the runtime",
        )


def _date(text: str) -> datetime:
    value = parsedate_to_datetime(text)
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _files(text: str) -> dict[str, FileRecord]:
    files: dict[str, FileRecord] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        sha256, size, path = line.split()
        if not _SHA256.fullmatch(sha256) or not size.isdigit():
            raise ValueError(f"not a digest and a size: {line.strip()[:80]!r}")
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a path that leaves the archive: {path!r}")
        files[path] = FileRecord(path, sha256, int(size))
    return files
