"""From a runtime's package names to exact ``.deb`` files.

Each suite's signed Release names its Packages index by digest, the index names
each ``.deb`` by digest. A Release is believed for `max_age` without asking
again; without a network the last one that was believed serves, with a warning.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

from slimpack.debian.checked import checked_package
from slimpack.debian.codecs import CodecError, decompressed
from slimpack.debian.fetch import Fetcher, UnreachableError
from slimpack.debian.keyring import Keyring
from slimpack.debian.mirrors import DebianMirrors
from slimpack.debian.model import (
    SECURITY_SUFFIX,
    DebianSource,
    ReleaseInfo,
    ResolvedPackage,
)
from slimpack.debian.release import FileRecord, Release, check_fresh, parse_release
from slimpack.debian.stanzas import find_stanzas
from slimpack.debian.store import Store
from slimpack.debian.versions import Version
from slimpack.errors import RuntimeBaseError, SlimpackError
from slimpack.progress import Progress

_MAX_RELEASE = 8 << 20
_MAX_INDEX = 1 << 30


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A Release as it was signed, and what it says."""

    suite: str
    sha256: str
    release: Release

    @property
    def archive(self) -> str:
        """Which archive holds the suite."""
        return "security" if self.suite.endswith(SECURITY_SUFFIX) else "main"


@dataclass
class Resolver:
    """Asks the archives; remembers within one run that the network is gone."""

    store: Store
    mirrors: DebianMirrors
    keyring: Keyring
    fetcher: Fetcher
    progress: Progress
    offline: bool = False

    def resolve(
        self, source: DebianSource, architecture: str, max_age: timedelta
    ) -> tuple[tuple[ResolvedPackage, ...], tuple[ReleaseInfo, ...]]:
        """Choose the newest version of each package over all suites."""
        signed = [self.release(suite, max_age) for suite in source.suites]
        infos = tuple(ReleaseInfo(one.suite, one.release.date, one.sha256) for one in signed)
        # What is chosen follows from these alone, so it is worked out once.
        key = json.dumps(
            [
                "resolve-1",
                [(one.suite, one.sha256) for one in signed],
                source.components,
                source.packages,
                architecture,
            ]
        )
        known = _packages_from(self.store.note(key))
        if known is None:
            known = self._choose(signed, source, architecture)
            self.store.keep_note(key, [asdict(package) for package in known])
        return known, infos

    def release(self, suite: str, max_age: timedelta) -> SignedRelease:
        """Return the Release of a suite, from the cache while it is young enough."""
        path = self.store.root / "release" / suite
        cached = self._cached(suite)
        if cached is not None:
            age = time.time() - path.stat().st_mtime
            if 0 <= age < max_age.total_seconds() and _is_fresh(cached):
                return cached
        try:
            if self.offline:
                raise UnreachableError("the network was not reachable a moment ago")
            archive = "security" if suite.endswith(SECURITY_SUFFIX) else "main"
            data = self.fetcher.text(
                self.mirrors.url(archive), f"dists/{suite}/InRelease", _MAX_RELEASE
            )
        except UnreachableError as error:
            self.offline = True
            if cached is None:
                raise
            self.progress.warn(
                f"{error.message}; using the package list of {suite} of "
                f"{cached.release.date:%Y-%m-%d}, which was verified before"
            )
            return cached
        fresh = self._verified(suite, data)
        check_fresh(fresh.release, suite, datetime.now(timezone.utc))
        if cached is not None and fresh.release.date < cached.release.date:
            # Not every suite has an end of validity: never go back in time.
            self.progress.warn(
                f"the mirror's Release of {suite} is older than one already seen; keeping that"
            )
            return cached
        with self.store.create(path) as stream:
            stream.write(data)
        return fresh

    def _cached(self, suite: str) -> SignedRelease | None:
        path = self.store.root / "release" / suite
        try:
            return self._verified(suite, path.read_bytes())
        except OSError:
            return None
        except SlimpackError:
            path.unlink(missing_ok=True)
            return None

    def _verified(self, suite: str, data: bytes) -> SignedRelease:
        text = self.keyring.signed_text(data, f"the InRelease of {suite}")
        return SignedRelease(suite, hashlib.sha256(text).hexdigest(), parse_release(text, suite))

    def _choose(
        self, signed: list[SignedRelease], source: DebianSource, architecture: str
    ) -> tuple[ResolvedPackage, ...]:
        best: dict[str, tuple[Version, ResolvedPackage]] = {}
        for one in signed:
            for component in source.components:
                for package in self._index(one, component, source.packages, architecture):
                    version = Version(package.version)
                    if package.name not in best or version > best[package.name][0]:
                        best[package.name] = (version, package)
        missing = [name for name in source.packages if name not in best]
        if missing:
            raise RuntimeBaseError(
                f"no package {', '.join(missing)} for {architecture} in "
                f"{', '.join(source.suites)} ({', '.join(source.components)})",
                hint="correct the names under debian.packages in the runtime file",
            )
        return tuple(best[name][1] for name in source.packages)

    def _index(
        self, signed: SignedRelease, component: str, names: tuple[str, ...], architecture: str
    ) -> list[ResolvedPackage]:
        record = signed.release.packages_index(component, architecture)
        if record is None:
            raise RuntimeBaseError(
                f"{signed.suite} has no component {component!r} for {architecture}",
                hint="correct debian.suites and debian.components in the runtime file",
            )
        with self.progress.task(f"index of {signed.suite}", total=record.size) as task:
            path = self.fetcher.blob(
                self.store,
                self.mirrors.url(signed.archive),
                f"dists/{signed.suite}/{signed.release.download_path(record)}",
                sha256=record.sha256,
                size=record.size,
                advance=task.advance,
            )
        codec = _codec(record)
        try:
            with open(path, "rb") as stream:
                found = find_stanzas(decompressed(stream, codec, _MAX_INDEX), names)
                return [
                    _package(stanza, signed.archive)
                    for stanza in found
                    if stanza.get("architecture") in (architecture, "all")
                ]
        except (CodecError, ValueError, KeyError) as error:
            raise RuntimeBaseError(
                f"the package index of {signed.suite} cannot be read: {error}"
            ) from error


def _codec(record: FileRecord) -> str:
    return record.path.rpartition("Packages")[2].removeprefix(".")


def _is_fresh(signed: SignedRelease) -> bool:
    until = signed.release.valid_until
    return until is None or datetime.now(timezone.utc) <= until


def _package(stanza: dict[str, str], archive: str) -> ResolvedPackage:
    return checked_package(
        ResolvedPackage(
            name=stanza["package"],
            version=stanza["version"],
            architecture=stanza["architecture"],
            sha256=stanza["sha256"],
            filename=stanza["filename"],
            size=int(stanza["size"]),
            archive=archive,
        )
    )


def _packages_from(note: object) -> tuple[ResolvedPackage, ...] | None:
    if not isinstance(note, list):
        return None
    try:
        return tuple(checked_package(ResolvedPackage(**fields)) for fields in note)
    except (TypeError, ValueError):
        return None
