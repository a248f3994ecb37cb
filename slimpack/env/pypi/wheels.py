"""Putting wheels into a prefix, with PyPA's `installer`.

pip could install into a prefix that this machine runs, but into a foreign one
only with ``--target``, which puts scripts and data elsewhere. `installer` does
both the same way and runs nothing of the prefix. Each wheel is first laid out
in a folder of its own, so that what it would write over is known before
anything is written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from installer import install as install_wheel
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InvalidWheelSource
from installer.sources import WheelFile

from slimpack.env.locks.lock import PypiPackage
from slimpack.env.pypi.interpreter import Interpreter
from slimpack.errors import InstallError, SlimpackError

_INSTALLER = b"slimpack\n"
_MAX_UNPACKED_BYTES = 64 * 1024**3
_VCS_URL = re.compile(r"(?P<vcs>git|hg|svn|bzr)\+(?P<url>.+)@(?P<commit>[^@/#]+)(?:#(?P<rest>.*))?")


@dataclass(frozen=True)
class Staged:
    """A wheel laid out in `folder` as it will lie below the prefix.

    files: paths below the prefix.
    """

    package: PypiPackage
    folder: Path
    files: tuple[str, ...]


def stage(package: PypiPackage, wheel: Path, folder: Path, target: Interpreter) -> Staged:
    """Lay out a wheel in `folder`; scripts name the Python of the target's prefix.

    Nothing is byte-compiled. Raises InstallError for a wheel that is damaged or
    writes outside of the prefix or into conda's records.
    """
    destination = SchemeDictionaryDestination(
        scheme_dict={
            "purelib": str(folder / target.site),
            "platlib": str(folder / target.site),
            "headers": str(folder / target.headers / package.name),
            "scripts": str(folder / "bin"),
            "data": str(folder),
        },
        interpreter=str(target.python),
        script_kind="posix",
        overwrite_existing=True,
    )
    extra = {"INSTALLER": _INSTALLER, **_direct_url(package)}
    try:
        with warnings.catch_warnings(), WheelFile.open(wheel) as source:
            # Bytecode that a wheel brings is left out, which `installer` warns of.
            warnings.simplefilter("ignore", RuntimeWarning)
            _check_size(wheel)
            install_wheel(source, destination, extra)
    except SlimpackError:
        raise
    except Exception as error:  # those of installer, zipfile and configparser have no common base
        # The first argument of installer's own is the object that they are about.
        said = error.args[-1] if isinstance(error, InvalidWheelSource) else error
        raise InstallError(
            f"{package.name} {package.version}: the wheel {wheel.name} cannot be installed: "
            f"{str(said) or type(error).__name__}"
        ) from error
    files = tuple(
        sorted(
            Path(above, name).relative_to(folder).as_posix()
            for above, _, names in os.walk(folder)
            for name in names
        )
    )
    for script in (folder / "bin").glob("*"):
        script.chmod(0o755)  # a wheel made on Windows does not say so
    record = next((file for file in files if file.startswith("conda-meta/")), None)
    if record is not None:
        raise InstallError(f"{package.name} {package.version}: {record} would be a conda record")
    return Staged(package, folder, files)


def _check_size(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > _MAX_UNPACKED_BYTES:
        raise InstallError(f"{wheel.name}: unpacks to {size >> 30} GiB, more than any package")


def _direct_url(package: PypiPackage) -> dict[str, bytes]:
    """Return the direct_url.json (PEP 610) of a repository or a folder; archives have none.

    The folder's path stays on this machine: see `slimpack.prefix.dist_records`.
    """
    match = _VCS_URL.match(package.url)
    data: dict[str, object]
    if match is not None:
        data = {
            "url": match["url"],
            "vcs_info": {"vcs": match["vcs"], "commit_id": match["commit"]},
        }
        folder = re.search(r"(?:^|&)subdirectory=([^&]+)", match["rest"] or "")
        if folder:
            data["subdirectory"] = folder[1]
    elif urlsplit(package.url).scheme == "file" and not package.sha256:
        data = {"url": package.url, "dir_info": {}}
    else:
        return {}
    return {"direct_url.json": json.dumps(data, sort_keys=True).encode()}


def merge(
    staged: Sequence[Staged], prefix: Path, owners: Mapping[str, str]
) -> tuple[tuple[str, str, str], ...]:
    """Move staged wheels into `prefix`; return (path, kept, lost) where two have one path.

    Where two wheels differ in a file, the later one's stays, as with pip.
    Raises InstallError, before anything is written, when a file is in the way:
    a conda package's, named in the message, or anybody's.
    """
    root = prefix.resolve()
    claimed: dict[str, Staged] = {}
    overlaps = []
    for wheel in staged:
        for path in wheel.files:
            _check_free(wheel.package, path, prefix, root, owners)
            other = claimed.get(path)
            if other is not None and not _same(other.folder / path, wheel.folder / path):
                overlaps.append((path, wheel.package.name, other.package.name))
            claimed[path] = wheel
    for path, wheel in claimed.items():
        destination = prefix / path
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(wheel.folder / path, destination)
        except OSError as error:
            raise InstallError(
                f"{wheel.package.name} {wheel.package.version}: {path}: {error.strerror or error}"
            ) from error
    return tuple(overlaps)


def _check_free(
    package: PypiPackage, path: str, prefix: Path, root: Path, owners: Mapping[str, str]
) -> None:
    destination = prefix / path
    parent = destination.parent.resolve()
    if not parent.is_relative_to(root):
        raise InstallError(f"{package.name} {package.version}: {path} would lie outside the prefix")
    if not os.path.lexists(destination):
        return
    # lib64/x and lib/x may be one file.
    real = (parent / destination.name).relative_to(root).as_posix()
    owner = owners.get(path) or owners.get(real)
    if owner is None:
        raise InstallError(f"{package.name} {package.version}: {path} is there already")
    raise InstallError(
        f"{package.name} {package.version} of pip and package {owner} of conda both have {path}",
        hint=f"take one of the two: leave {owner} to conda, or remove it from the dependencies",
    )


def _same(one: Path, two: Path) -> bool:
    return one.read_bytes() == two.read_bytes()
