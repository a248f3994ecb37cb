"""Editable installs of an existing prefix: built into wheels, beside the prefix.

An editable install only points to a source folder (PEP 660, PEP 610, and what
``setup.py develop`` left). An image cannot, so the folder is built as it is
now. Neither the prefix nor the folder is written to.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import parse_wheel_filename

from slimpack.env.dists import Dist
from slimpack.env.inputs.text import read_text
from slimpack.env.locks.lock import PypiPackage
from slimpack.env.meta import Installed
from slimpack.env.pypi.interpreter import Interpreter, interpreter
from slimpack.env.pypi.pip import Pip, PipError
from slimpack.env.pypi.sources import build_wheel, copy_project, fresh_folder
from slimpack.env.pypi.wheels import stage
from slimpack.errors import InputError, InstallError
from slimpack.progress import SILENT, Progress
from slimpack.toml import parse_toml

# pip's words when it cannot fetch what an isolated build needs.
_NO_TOOLS = re.compile(
    r"install(?:ing)? build dependencies[^\n]*did not run successfully"
    r"|Failed to build .* when installing build dependencies|backend dependencies[^\n]*did not run",
    re.IGNORECASE,
)
_EASY = "easy-install.pth"


@dataclass(frozen=True)
class Overlay:
    """What takes the place of one editable install.

    dist: as it is packed, no longer editable.
    removed: paths below the prefix that are left out (its links, finders and metadata).
    added: path below the prefix -> file on disk. Scripts name the prefix's Python.
    note: one sentence for the user.
    """

    dist: Dist
    removed: frozenset[str]
    added: tuple[tuple[str, Path], ...]
    note: str


def build_editables(
    installed: Installed,
    prefix: Path,
    *,
    scratch: Path,
    glibc: str = "",
    progress: Progress = SILENT,
) -> tuple[Overlay, ...]:
    """Build every editable install of `prefix`; nothing is written but below `scratch`.

    glibc: version of the image's base, "" for that of this machine.

    Builds are isolated, as pip's are. Where the tools of a build cannot be fetched
    and the prefix has its backend, that one is used. Raises InputError when a source
    folder is gone, InstallError when it cannot be built.
    """
    editables = [dist for dist in installed.dists if dist.editable]
    if not editables:
        return ()
    python = installed.get("python")
    target = interpreter(
        prefix,
        installed,
        subdir=python.subdir if python else "",
        glibc=glibc or platform.libc_ver()[1] or "2.17",
    )
    folders = [_folder(dist) for dist in editables]
    if not target.runs:
        raise InputError(
            f"{editables[0].name} is installed in editable mode, and the Python {target.version} "
            f"of {prefix} cannot build it on this machine",
            hint="install it without -e and run again",
        )
    work = fresh_folder(scratch, "editable")
    conda = frozenset(file.path for package in installed.packages for file in package.files)
    overlays = []
    with progress.task("build editable packages", total=len(editables), unit="package") as task:
        for dist, folder in zip(editables, folders, strict=True):
            overlays.append(_overlay(dist, folder, target, work, conda))
            task.advance()
    return _without_links(overlays, folders, prefix, work)


def _folder(dist: Dist) -> Path:
    url = urlsplit(dist.url)
    folder = Path(unquote(url.path))
    if url.scheme != "file" or not folder.is_dir():
        raise InputError(
            f"{dist.name} {dist.version} is installed in editable mode from "
            f"{folder if url.scheme == 'file' else dist.url}, which is not there",
            hint="restore the folder, install the package without -e, or uninstall it",
        )
    return folder


def _overlay(
    dist: Dist, folder: Path, target: Interpreter, work: Path, conda: frozenset[str]
) -> Overlay:
    home = fresh_folder(work, dist.name)
    wheel = _wheel(dist, copy_project(folder, home / "source" / folder.name), target, home)
    _, version, _, _ = parse_wheel_filename(wheel.name)
    package = PypiPackage(dist.name, str(version), folder.as_uri())
    staged = stage(package, wheel, home / "installed", target)
    clash = next((path for path in staged.files if path in conda), None)
    if clash is not None:
        raise InstallError(
            f"{dist.name} {version} has the file {clash}, and so has a conda package",
            hint="remove one of the two from the environment",
        )
    info = next(path for path in staged.files if path.endswith(".dist-info/METADATA"))
    changed = "" if str(version) == dist.version else f" (which is now version {version})"
    return Overlay(
        dist=replace(
            dist,
            version=str(version),
            folder=info.rpartition("/")[0],
            files=staged.files,
            installer="slimpack",
            editable=False,
        ),
        removed=_removed(dist, target.prefix, conda),
        added=tuple((path, staged.folder / path) for path in staged.files),
        note=f"{dist.name} {dist.version} was installed in editable mode from {folder}{changed}; "
        "it is packed as a wheel built from there",
    )


def _wheel(dist: Dist, source: Path, target: Interpreter, home: Path) -> Path:
    variables: tuple[tuple[str, str], ...] = ()
    if not (source / ".git").exists():
        # setuptools-scm would look for a repository above the copy; this version it said before.
        name = re.sub(r"[^A-Z0-9]", "_", dist.name.upper())
        variables = ((f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{name}", dist.version),)
    pip = Pip(target, home, native=True, variables=variables)
    line = f"{dist.name} @ {source.as_uri()}"
    try:
        try:
            return build_wheel(line, pip, name="build")
        except PipError as error:
            if not _NO_TOOLS.search(error.output) or not _has_backend(source, target):
                raise
            return build_wheel(line, pip, name="build", arguments=["--no-build-isolation"])
    except PipError as error:
        raise InstallError(
            f"{dist.name} {dist.version}, installed in editable mode from {unquote(dist.url)}, "
            "cannot be built into a wheel",
            details=error.details,
            hint="see that 'pip wheel' builds it, or install it without -e",
        ) from error


def _has_backend(source: Path, target: Interpreter) -> bool:
    """Tell whether the prefix's Python can import the project's build backend."""
    project = source / "pyproject.toml"
    data = parse_toml(read_text(project), project) if project.is_file() else {}
    system = data.get("build-system")
    backend = system.get("build-backend") if isinstance(system, dict) else None
    module = str(backend or "setuptools").partition(":")[0]
    if isinstance(system, dict) and system.get("backend-path"):
        return True
    done = subprocess.run(
        [
            str(target.python),
            "-I",
            "-B",
            "-c",
            f"import importlib; importlib.import_module({module!r})",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _removed(dist: Dist, prefix: Path, conda: frozenset[str]) -> frozenset[str]:
    """Return the files of the editable install itself; a RECORD cannot claim conda's."""
    metadata = prefix / dist.folder
    paths = {*dist.files}
    if metadata.is_dir():
        paths |= {path.relative_to(prefix).as_posix() for path in metadata.rglob("*")}
    for path in [path for path in paths if path.endswith(".py")]:
        cache = Path(importlib.util.cache_from_source(path)).parent
        stem = Path(path).stem
        compiled = (prefix / cache).glob(f"{stem}.*.pyc") if (prefix / cache).is_dir() else ()
        paths |= {file.relative_to(prefix).as_posix() for file in compiled}
    return frozenset(
        path
        for path in paths - conda
        if os.path.lexists(prefix / path)
        and not (prefix / path).is_dir()
        and not path.endswith(f"/{_EASY}")
    )


def _without_links(
    overlays: Sequence[Overlay], folders: Sequence[Path], prefix: Path, work: Path
) -> tuple[Overlay, ...]:
    """Take the folders out of easy-install.pth, which several packages share."""
    found = list(overlays)
    gone = {os.path.normpath(folder) for folder in folders}
    for file in sorted(prefix.glob(f"lib/py*/site-packages/{_EASY}")):
        if file.parent.parent.is_symlink():
            continue
        below = file.relative_to(prefix).as_posix()
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if os.path.normpath(line) not in gone]
        if kept == lines:
            continue
        if any(line.strip() and not line.startswith("import ") for line in kept):
            changed = fresh_folder(work, "easy-install") / _EASY
            changed.write_text("\n".join([*kept, ""]), encoding="utf-8")
            found[0] = replace(found[0], added=(*found[0].added, (below, changed)))
        else:
            found[0] = replace(found[0], removed=found[0].removed | {below})
    return tuple(found)
