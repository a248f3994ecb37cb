"""The Debian mirrors that this machine's apt uses.

sources.list(5): one-line ``.list`` files and deb822 ``.sources`` files. Only
entries of the Debian archive itself count; a third party that names its suite
``bookworm`` must not become the source of a base.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from slimpack.debian.model import SECURITY_SUFFIX
from slimpack.debian.stanzas import parse_stanza, split_stanzas

_ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)")
_SUITES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
_SUITES_OF_ARCHIVE = frozenset(_SUITES) | {"oldstable", "stable", "testing", "unstable"}
_KEYRING = "debian-archive-"


@dataclass(frozen=True, slots=True)
class AptEntry:
    """One address of one ``deb`` source."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def apt_mirrors(apt_dir: Path, suite: str) -> tuple[str, str]:
    """Return the addresses of the main and the security archive, "" for unknown.

    A mirror of Debian holds all its releases, so an entry for another release
    serves as well; one for `suite` itself is preferred.
    """
    main: dict[bool, str] = {}
    security: dict[bool, str] = {}
    for entry in read_entries(apt_dir):
        if "main" not in entry.components or urlsplit(entry.uri).scheme not in ("http", "https"):
            continue
        for name in entry.suites:
            release = name.removesuffix(SECURITY_SUFFIX)
            if release not in _SUITES_OF_ARCHIVE or not _is_debian(entry, name):
                continue
            where = security if name.endswith(SECURITY_SUFFIX) else main
            where.setdefault(release == suite, entry.uri.rstrip("/"))
    return (
        main.get(True) or main.get(False, ""),
        security.get(True) or security.get(False, ""),
    )


def _is_debian(entry: AptEntry, suite: str) -> bool:
    """Tell Debian's archive from a third party's that borrows its suite names."""
    last = urlsplit(entry.uri).path.rstrip("/").rpartition("/")[2]
    named = ("debian-security", "") if suite.endswith(SECURITY_SUFFIX) else ("debian",)
    return last in named or _KEYRING in entry.signed_by


def read_entries(apt_dir: Path) -> Iterator[AptEntry]:
    """Yield the entries of ``sources.list`` and ``sources.list.d``, in apt's order.

    What cannot be read or parsed is skipped: apt complains of it, not we.
    """
    files = [apt_dir / "sources.list", *sorted((apt_dir / "sources.list.d").glob("*"))]
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if file.suffix == ".sources":
            yield from _deb822(text)
        elif file.suffix == ".list":
            yield from _one_line(text)


def _deb822(text: str) -> Iterator[AptEntry]:
    for stanza in split_stanzas(text):
        try:
            fields = parse_stanza(stanza)
        except ValueError:
            continue
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield AptEntry(
                uri,
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", ""),
            )


def _one_line(text: str) -> Iterator[AptEntry]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match:
            yield AptEntry(match[2], (match[3],), tuple(match[4].split()), match[1] or "")
