"""Putting locked pip packages into a prefix.

pip downloads, verifies and builds; `slimpack.env.pypi.wheels` installs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from slimpack.env.dists import read_dists
from slimpack.env.locks.lock import PypiPackage
from slimpack.env.meta import Installed
from slimpack.env.nearby import near_pypi
from slimpack.env.pypi.interpreter import Interpreter, check_wheel, interpreter
from slimpack.env.pypi.names import VCS, file_name, is_version, source_kind
from slimpack.env.pypi.pip import Pip, PipError, private_file
from slimpack.env.pypi.pip_errors import build_failure, fetch_failure
from slimpack.env.pypi.sources import build_wheel, copy_project, fresh_folder
from slimpack.env.pypi.wheels import Staged, merge, stage
from slimpack.env.redact import redacted
from slimpack.errors import InputError, InstallError
from slimpack.progress import SILENT, Progress

_SAFE_URL = re.compile(r"[!-~]+\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# Which packages are taken is settled; these would only forbid what is locked.
_SETTLED = ("--no-binary", "--only-binary", "--pre", "--prefer-binary")


def install(
    packages: Sequence[PypiPackage],
    *,
    prefix: Path,
    installed: Installed,
    subdir: str,
    glibc: str,
    scratch: Path,
    progress: Progress = SILENT,
    options: Sequence[str] = (),
    nearby: Sequence[Path] = (),
) -> None:
    """Put exactly these packages into a prefix that has conda packages only.

    installed: the conda packages. options: of the `Resolution`, where there is one;
    builds fetch their tools with them. nearby: folders whose wheels are taken, by
    digest, before any is fetched.

    Each archive must have its SHA-256. Sdists, repositories and folders are built
    to wheels first. Nothing of conda is written over; nothing is byte-compiled.
    Raises InstallError, and InputError for packages that no lock can hold.
    """
    if not packages:
        return
    target = interpreter(prefix, installed, subdir=subdir, glibc=glibc)
    _check_packages(packages, target)
    if installed.dists:
        raise InstallError(f"{prefix}: has pip packages already ({installed.dists[0].name})")
    work = fresh_folder(scratch, "pip-install")
    pip = Pip(target, work, native=target.runs)
    fetching = [line for line in options if not line.startswith(_SETTLED)]
    packages = near_pypi(packages, nearby)
    with progress.task("install pip packages", total=len(packages), unit="package") as task:
        wheels = fetch_wheels(
            [one for one in packages if source_kind(one) == "wheel"], pip, fetching
        )
        staged: list[Staged] = []
        for package in sorted(packages, key=lambda package: package.name):
            wheel = wheels.get(package.name) or _built(package, pip, fetching)
            found = _identified(package, wheel, target)
            staged.append(stage(found, wheel, work / "staged" / package.name, target))
            task.advance()
    for path, kept, lost in merge(staged, prefix, installed.owners):
        progress.warn(f"{path} is that of pip package {kept}; {lost} has another")
    _check_dists([one.package for one in staged], prefix, installed)


def _check_packages(packages: Sequence[PypiPackage], target: Interpreter) -> None:
    """Refuse what a lock may not hold; a line break in a URL would be another line for pip."""
    seen = set()
    for one in packages:
        kind, label = source_kind(one), f"pip package {one.name!r} {one.version!r}"
        known = one.url.startswith((*VCS, "https://", "http://", "file:///"))
        if one.name != canonicalize_name(one.name) or not _SAFE_URL.match(one.name):
            raise InputError(f"{label}: not a normalised name (PEP 503)")
        if one.name in seen:
            raise InputError(f"{label}: locked twice")
        seen.add(one.name)
        # Only its build tells the version of a source: locks may leave it out.
        versioned = is_version(one.version) or (kind != "wheel" and not one.version)
        if not known or not _SAFE_URL.match(one.url) or not versioned:
            raise InputError(
                f"{label}: not the version and URL of a package: {redacted(one.url)!r}"
            )
        if kind in ("wheel", "sdist") and not _SHA256.match(one.sha256):
            raise InputError(f"{label}: no SHA-256", hint="lock the environment again")
        if kind == "wheel":
            check_wheel(file_name(one.url), target)
        elif not target.runs:
            raise InstallError(
                f"{label}: {one.url} has to be built, and the Python {target.version} of "
                f"{target.subdir} cannot do that on this machine",
                hint="build the image on that platform, or build its wheel there and lock that",
            )


def _line(package: PypiPackage, url: str) -> str:
    # pip replaces ${NAME} by a variable of ours; no lock may ask for that.
    safe = url.replace("$", "%24")
    digest = f" --hash=sha256:{package.sha256}" if package.sha256 else ""
    return f"{package.name} @ {safe}{digest}"


def fetch_wheels(
    packages: Sequence[PypiPackage], pip: Pip, options: Sequence[str] = ()
) -> dict[str, Path]:
    """Download wheels, whose digests pip compares; name -> file below the scratch of `pip`.

    Raises InstallError.
    """
    if not packages:
        return {}
    folder = fresh_folder(pip.scratch, "wheels")
    lines = [*options, *(_line(package, package.url) for package in packages)]
    requirements = private_file(folder / "requirements.txt", "\n".join([*lines, ""]))
    try:
        pip(
            "download",
            "--no-deps",
            "--require-hashes",
            f"--dest={folder}",
            f"--requirement={requirements}",
            *pip.foreign_arguments,
        )
    except PipError as error:
        raise fetch_failure(error, packages) from error
    found = {}
    for package in packages:
        wheel = folder / file_name(package.url)
        if not wheel.is_file():
            raise InstallError(f"{package.name} {package.version}: pip did not fetch {wheel.name}")
        found[package.name] = wheel
    return found


def _built(package: PypiPackage, pip: Pip, options: Sequence[str]) -> Path:
    kind, url = source_kind(package), package.url
    if kind == "folder":
        folder = Path(unquote(urlsplit(url).path))
        if not folder.is_dir():
            raise InstallError(
                f"{package.name} {package.version}: the folder {folder} is not there",
                hint="restore it, or lock the environment again",
            )
        home = fresh_folder(pip.scratch, f"source-{package.name}")
        url = copy_project(folder, home / folder.name).as_uri()
    try:
        return build_wheel(
            _line(package, url),
            pip,
            name=f"build-{package.name}",
            options=options,
            arguments=["--require-hashes"] if kind == "sdist" else [],
        )
    except PipError as error:
        raise build_failure(error, package) from error


def _identified(package: PypiPackage, wheel: Path, target: Interpreter) -> PypiPackage:
    """Return the package with the version of its wheel; raise when it is not the locked one."""
    check_wheel(wheel.name, target)
    name, version, _, _ = parse_wheel_filename(wheel.name)
    locked = package.version or str(version)
    if name != package.name or version != Version(locked):
        raise InstallError(
            f"{redacted(package.url)} is {name} {version}, and the lock says {package.name} "
            f"{locked}",
            hint="lock the environment again",
        )
    return replace(package, version=locked)


def _check_dists(packages: Sequence[PypiPackage], prefix: Path, installed: Installed) -> None:
    """Raise InstallError unless exactly these distributions are there beside conda's."""
    there = {(dist.name, Version(dist.version)) for dist in read_dists(prefix, installed.owners)}
    wanted = {(package.name, Version(package.version)) for package in packages}
    if there != wanted:
        missing = ", ".join(sorted(f"{name} {version}" for name, version in wanted - there))
        extra = ", ".join(sorted(f"{name} {version}" for name, version in there - wanted))
        raise InstallError(
            f"{prefix}: not the locked pip packages (missing: {missing or 'none'}; "
            f"not locked: {extra or 'none'})"
        )
