"""The package files of a lock, for whoever wants to carry them elsewhere."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from slimpack.env.locks.lock import Lock
from slimpack.env.rattler.process import call
from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.progress import SILENT, Progress

_SUBDIR = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)?\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]*\.(?:conda|tar\.bz2)\Z")


@dataclass(frozen=True)
class PackageFile:
    """A conda package as a file, verified.

    channel: URL without credentials. name: of the file. size: bytes. sha256: hex.
    record: what repodata.json says of it, by the lock.
    """

    channel: str
    subdir: str
    name: str
    path: Path
    size: int
    sha256: str
    record: Mapping[str, Any] = field(repr=False)


def fetch_packages(
    lock: Lock, folder: Path, *, caches: Sequence[Path] = (), progress: Progress = SILENT
) -> tuple[PackageFile, ...]:
    """Have the conda packages of a lock as files, in the order of the lock.

    Files of local channels and of caches (folders of package files) are taken where they lie;
    the others are fetched into `folder`, an empty one, with the credentials that the solver
    uses. Each has the digest of the lock. Raises InstallError when one cannot be had,
    InputError for a lock whose URLs are none of packages.
    """
    for package in lock.packages:
        _place(package.url, package.subdir)
    with tempfile.TemporaryDirectory(prefix="slimpack-lock-") as scratch:
        path = Path(scratch, "pixi.lock")
        path.write_text(lock.text, encoding="utf-8")
        request = {
            "action": "fetch_packages",
            "lock": str(path),
            "subdir": lock.platform,
            "folder": str(folder),
            "caches": [str(cache) for cache in caches],
        }
        with progress.task("fetch packages", total=len(lock.packages), unit="package") as task:

            def on_event(event: dict[str, Any]) -> None:
                if event["event"] == "fetched":
                    task.advance()

            answer = call(request, where=f"the lock for {lock.platform}", on_event=on_event)
    return tuple(_file(one) for one in answer["packages"])


def _file(one: dict[str, Any]) -> PackageFile:
    channel, name = _place(one["url"], one["subdir"])
    return PackageFile(
        channel=channel,
        subdir=one["subdir"],
        name=name,
        path=Path(one["path"]),
        size=one["size"],
        sha256=one["sha256"],
        record=one["record"],
    )


def _place(url: str, subdir: str) -> tuple[str, str]:
    """Return channel and file name of a package; they become paths, so nothing odd is let in."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not _NAME.match(name) or not _SUBDIR.match(subdir):
        raise InputError(
            f"{redacted(url)!r} for {subdir!r} is not the URL of a package",
            hint="lock the environment again",
        )
    return redacted(url).rsplit("/", 2)[0], name
