"""The embedded engine: py-rattler, in a short-lived worker process.

See `slimpack.env.rattler.worker` for why it is a process and for the protocol.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from slimpack.env.check import check_channels, check_installed
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import ExplicitEntry, Lock, LockedPackage, PypiPackage
from slimpack.env.nearby import near_packages, restore_origins
from slimpack.env.rattler.process import call
from slimpack.progress import SILENT, Progress


@dataclass(frozen=True)
class RattlerEngine:
    """Solves and installs with py-rattler.

    package_cache: extracted packages, shared by all builds (py-rattler locks
        each entry, so concurrent builds are safe).
    repodata_cache: channel indexes.
    nearby: folders whose packages are taken before any is fetched (`slimpack.env.nearby`).
    """

    name: ClassVar[str] = "rattler"
    package_cache: Path
    repodata_cache: Path
    nearby: tuple[Path, ...] = ()

    def solve(
        self,
        spec: EnvSpec,
        subdir: str,
        virtual_packages: Sequence[tuple[str, str, str]],
        *,
        strict_priority: bool = True,
        held: Sequence[tuple[str, str]] = (),
    ) -> Lock:
        """Find the packages for `spec`.

        virtual_packages: (name, version, build) of what the image's base
        provides; the host's are never asked.
        held: (name, version) of packages that may only come in that version, or one that
        begins with it (``12.8``: ``12.8.1``), if they come at all.

        Raises SolveError with the solver's explanation, InputError for a
        malformed spec, InstallError when a channel cannot be read.
        """
        check_channels(spec)
        request = {
            "action": "solve",
            "channels": list(spec.channels),
            "specs": list(spec.specs),
            "subdir": subdir,
            "virtual_packages": [list(package) for package in virtual_packages],
            "strict_priority": strict_priority,
            "constraints": [held_spec(name, version) for name, version in held],
            "repodata_cache": str(self.repodata_cache),
        }
        return _to_lock(call(request, where=spec.source), subdir)

    def cuda_builds(
        self, spec: EnvSpec, subdir: str, texts: Mapping[str, Sequence[str]], marks: Sequence[str]
    ) -> dict[str, Any]:
        """Return what the channels of `spec` have for CUDA of the packages that `texts` names.

        See `slimpack.env.rattler.worker_builds`. Raises InstallError when a channel cannot
        be read.
        """
        request = {
            "action": "cuda_builds",
            "channels": list(spec.channels),
            "specs": list(spec.specs),
            "subdir": subdir,
            "texts": {name: list(found) for name, found in texts.items()},
            "marks": list(marks),
            "repodata_cache": str(self.repodata_cache),
        }
        found: dict[str, Any] = call(request, where=spec.source)["packages"]
        return found

    def resolve_explicit(
        self,
        entries: Sequence[ExplicitEntry | LockedPackage],
        subdir: str,
        *,
        source: str,
        pypi: Sequence[PypiPackage] = (),
    ) -> Lock:
        """Make a lock of packages by URL; their digests bind the install.

        entries: of an ``@EXPLICIT`` list, or of a conda-lock.yml, which tells the
        dependencies too. What else a lock says is asked of the channels; where they
        cannot be read, the names of the files have to do.
        """
        request = {
            "action": "resolve_explicit",
            "entries": [_entry(entry) for entry in entries],
            "pypi": [asdict(package) for package in pypi],
            "subdir": subdir,
            "repodata_cache": str(self.repodata_cache),
        }
        return _to_lock(call(request, where=source), subdir)

    def read_lock(self, path: Path, subdir: str, *, environment: str = "default") -> Lock:
        """Read a rattler lock file (pixi.lock); InputError when it has no such platform."""
        request = {
            "action": "read_lock",
            "lock": str(path),
            "environment": environment,
            "subdir": subdir,
        }
        return _to_lock(call(request, where=str(path)), subdir)

    def lock_records(
        self,
        records: Sequence[Mapping[str, Any]],
        subdir: str,
        channels: Sequence[str],
        *,
        source: str,
    ) -> Lock:
        """Make a lock of packages that somebody else chose.

        records: as in repodata.json, each with its ``url``; ``build`` or
        ``build_string``; ``timestamp`` in seconds or milliseconds.
        Raises SlimpackError when a record is not one of a package.
        """
        request = {
            "action": "lock_records",
            "records": [dict(record) for record in records],
            "channels": list(channels),
            "subdir": subdir,
        }
        return _to_lock(call(request, where=source), subdir)

    def install(
        self,
        lock: Lock,
        prefix: Path,
        *,
        only: Collection[str] | None = None,
        there: Sequence[Path] = (),
        progress: Progress = SILENT,
    ) -> None:
        """Install a lock into an empty prefix and check that exactly it is there.

        only: names of packages to install, None for all. there: records in the prefix's
        conda-meta, of packages that count as installed. Link scripts are not run.
        Raises InstallError.
        """
        if only is not None:
            chosen = tuple(package for package in lock.packages if package.name in only)
            lock = replace(lock, packages=chosen)
        places = near_packages(lock, self.nearby)
        with tempfile.TemporaryDirectory(prefix="slimpack-lock-") as folder:
            path = Path(folder, "pixi.lock")
            path.write_text(lock.text, encoding="utf-8")
            request = {
                "action": "install",
                "lock": str(path),
                "subdir": lock.platform,
                "prefix": str(prefix),
                "package_cache": str(self.package_cache),
                "only": [package.name for package in lock.packages],
                "places": places,
                "there": [str(record) for record in there],
            }
            with progress.task("install", total=len(lock.packages), unit="package") as task:

                def on_event(event: dict[str, Any]) -> None:
                    if event["event"] == "linked":
                        task.advance()

                call(request, where=str(prefix), on_event=on_event)
        restore_origins(lock, places, prefix)
        check_installed(lock, prefix)


def held_spec(name: str, version: str) -> str:
    """Return the match spec of a version, or of any that begins with it."""
    return f"{name} {version}.*"


def is_held(found: str, version: str) -> bool:
    """Tell whether a version is one that `held_spec` takes."""
    return f"{found}.".startswith(f"{version}.")


def merge_locks(locks: Sequence[Lock]) -> str:
    """Return the locks of several platforms as one rattler lock file, with what pip installs.

    The channels are those of all, in order. Raises InputError for what no lock can hold.
    """
    with tempfile.TemporaryDirectory(prefix="slimpack-lock-") as folder:
        request = {
            "action": "merge_locks",
            "locks": [
                {
                    "lock": str(_written(lock, Path(folder, f"{lock.platform}.lock"))),
                    "subdir": lock.platform,
                    "pypi": [asdict(package) for package in lock.pypi],
                }
                for lock in locks
            ],
        }
        text: str = call(request, where="the lock")["lock"]
    return text


def with_pypi(lock: Lock, packages: Sequence[PypiPackage]) -> Lock:
    """Return the lock with these as what pip installs, in its text too."""
    ordered = tuple(
        replace(package, requires=tuple(sorted(package.requires)))
        for package in sorted(packages, key=lambda package: package.name)
    )
    lock = replace(lock, pypi=ordered)
    return replace(lock, text=merge_locks([lock]))


def lock_facts(
    spec: EnvSpec, lock: Lock, virtual_packages: Sequence[tuple[str, str, str]]
) -> dict[str, Any]:
    """Return how a lock and a specification fit together (see `worker_facts`)."""
    with tempfile.TemporaryDirectory(prefix="slimpack-lock-") as folder:
        request = {
            "action": "lock_facts",
            "lock": str(_written(lock, Path(folder, "pixi.lock"))),
            "subdir": lock.platform,
            "specs": list(spec.specs),
            "channels": list(spec.channels),
            "virtual_packages": [list(package) for package in virtual_packages],
        }
        return call(request, where=spec.source)


def _written(lock: Lock, path: Path) -> Path:
    path.write_text(lock.text, encoding="utf-8")
    return path


def _entry(entry: ExplicitEntry | LockedPackage) -> dict[str, Any]:
    if isinstance(entry, ExplicitEntry):
        digests = {entry.algorithm: entry.digest} if entry.digest else {}
        return {"url": entry.url, "digests": digests, "depends": []}
    digests = {"md5": entry.md5, "sha256": entry.sha256}
    return {
        "url": entry.url,
        "digests": {name: digest for name, digest in digests.items() if digest},
        "depends": list(entry.depends),
    }


def _to_lock(result: dict[str, Any], subdir: str) -> Lock:
    packages = tuple(
        LockedPackage(**{**package, "depends": tuple(package["depends"])})
        for package in result["packages"]
    )
    pypi = tuple(
        PypiPackage(**{**package, "requires": tuple(package["requires"])})
        for package in result["pypi"]
    )
    return Lock(platform=subdir, packages=packages, text=result["lock"], pypi=pypi)
