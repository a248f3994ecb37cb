"""The pip packages of a lock as files, for whoever wants to carry them elsewhere.

Wheels are fetched by pip, with its configuration and credentials. sdists are not, because pip
runs their build backend to look at them; they are fetched here and stay closed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import requests

from slimpack.env.locks.lock import Lock, PypiPackage
from slimpack.env.pypi.install import fetch_wheels
from slimpack.env.pypi.interpreter import locked_interpreter
from slimpack.env.pypi.names import file_name, source_kind
from slimpack.env.pypi.pip import Pip, configuration
from slimpack.env.redact import redacted
from slimpack.errors import InstallError
from slimpack.files import file_sha256
from slimpack.progress import SILENT, Progress

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.(?:whl|tar\.gz|zip|tar\.bz2|tar\.xz|tgz)\Z")
_TIMEOUT = (10, 60)  # seconds to connect, and between two reads
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PypiFile:
    """A wheel or an sdist as a file with the digest of the lock. size: bytes."""

    package: PypiPackage
    name: str
    path: Path
    size: int


def fetch_pypi(
    lock: Lock, folder: Path, *, progress: Progress = SILENT
) -> tuple[tuple[PypiFile, ...], tuple[PypiPackage, ...]]:
    """Return the wheels and sdists of a lock, and the packages that no file holds.

    Local ones are taken where they lie; the others are fetched into `folder`, an empty one.
    The second are repositories and folders. Raises InstallError when a file cannot be had.
    """
    if not lock.pypi:
        return (), ()
    kinds = {one.name: source_kind(one) for one in lock.pypi}
    files = [one for one in lock.pypi if kinds[one.name] in ("wheel", "sdist")]
    for one in files:
        if not one.sha256 or not _NAME.match(file_name(one.url)):
            raise InstallError(
                f"{one.name} {one.version}: {redacted(one.url)!r} is not a file with a SHA-256",
                hint="lock the environment again",
            )
    local = {one.name: path for one in files if (path := _local(one)) is not None}
    far = [one for one in files if one.name not in local]
    with progress.task("fetch pip packages", total=len(files), unit="package") as task:
        wheels = [one for one in far if kinds[one.name] == "wheel"]
        found = local
        if wheels:
            pip = Pip(locked_interpreter(lock), folder / "pip", native=False)
            found |= fetch_wheels(wheels, pip)
        for one in far:
            if kinds[one.name] == "sdist":
                found[one.name] = _download(one, folder / "sdist")
        task.advance(len(files))
    return (
        tuple(
            PypiFile(one, file_name(one.url), found[one.name], found[one.name].stat().st_size)
            for one in files
        ),
        tuple(one for one in lock.pypi if kinds[one.name] not in ("wheel", "sdist")),
    )


def _local(package: PypiPackage) -> Path | None:
    parts = urlsplit(package.url)
    if parts.scheme != "file":
        return None
    path = Path(unquote(parts.path))
    if file_sha256(path) != package.sha256:
        raise _replaced(package)
    return path


def _download(package: PypiPackage, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package.sha256}-{file_name(package.url)}"
    hashed = hashlib.sha256()
    url, auth = _with_credentials(package.url)
    try:
        with (
            closing(requests.get(url, auth=auth, stream=True, timeout=_TIMEOUT)) as answer,
            path.open("wb") as out,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                hashed.update(chunk)
                out.write(chunk)
    except requests.RequestException as error:
        raise InstallError(
            f"{package.name} {package.version}: {redacted(package.url)} cannot be fetched",
            details=redacted(str(error)),
            hint="check the network; an index that needs credentials must be configured for pip",
        ) from error
    if hashed.hexdigest() != package.sha256:
        raise _replaced(package)
    return path


def _with_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return the URL without credentials, and its own or those of pip's index on that host.

    Where there are none, requests looks into ~/.netrc, as pip does.
    """
    configured = configuration()
    indexes = " ".join(configured.get(name, "") for name in ("index-url", "extra-index-url"))
    own = urlsplit(url)
    plain = urlunsplit(own._replace(netloc=own.netloc.rpartition("@")[2], fragment=""))
    for text in (url, *indexes.split()):
        parts = urlsplit(text)
        same = (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port)
        if same and parts.username:
            return plain, (unquote(parts.username), unquote(parts.password or ""))
    return plain, None


def _replaced(package: PypiPackage) -> InstallError:
    return InstallError(
        f"{package.name} {package.version}: {redacted(package.url)} is not the file of the lock",
        hint="the file was replaced or damaged; lock the environment again if that is right",
    )


def unpacked_names(packages: Sequence[PypiPackage]) -> str:
    """Return what is no file, for a message."""
    return ", ".join(f"{one.name} ({redacted(one.url)})" for one in packages)
