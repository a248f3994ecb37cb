"""Building wheels from sdists, repositories and folders.

Build backends write into the folder that they build (``build/``,
``*.egg-info``), so a folder of the user's is copied and the copy is built. The
copy takes ``.git`` along: setuptools-scm and its kind read the version, and
which files belong to the package, from there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from slimpack.env.pypi.interpreter import Interpreter
from slimpack.env.pypi.pip import Pip, PipError, private_file
from slimpack.errors import InstallError

# Never part of what is built; a stale build/lib or egg-info would even leak into the wheel.
_LEFT_OUT = frozenset(
    {"__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".eggs"}
)
_GLIBC = re.compile(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)")
_ELF = b"\x7fELF"


def copy_project(folder: Path, target: Path) -> Path:
    """Copy a source folder to `target`, which must not exist; return `target`.

    Left out are caches, virtual environments and what setuptools left behind.
    Links that lead out of the folder lead to the same place from the copy.
    Nothing is written to `folder`. Raises InstallError when it cannot be read.
    """
    try:
        shutil.copytree(folder, target, symlinks=True, ignore=_ignored)
        _aim_links(folder, target)
        _aim_worktree(folder, target)
    except (OSError, shutil.Error) as error:
        problems = error.args[0] if isinstance(error, shutil.Error) else [(str(error),)]
        raise InstallError(
            f"{folder}: cannot be copied to be built",
            details="\n".join(str(problem[-1]) for problem in problems[:5]),
        ) from error
    return target


def _ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if _is_junk(Path(folder, name))}


def _is_junk(path: Path) -> bool:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        setuptools = path.name == "build" and any(path.glob("lib*")) and any(path.glob("bdist.*"))
        return (
            path.name in _LEFT_OUT
            or path.name.endswith(".egg-info")
            or setuptools
            or (path / "pyvenv.cfg").is_file()
            or (path / "conda-meta").is_dir()
        )
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def _aim_links(folder: Path, target: Path) -> None:
    for above, folders, files in os.walk(target):
        for path in (Path(above, name) for name in (*folders, *files)):
            if path.is_symlink():
                origin = folder / path.relative_to(target)
                aim = origin.readlink()
                end = Path(os.path.normpath(origin.parent / aim))
                if not aim.is_absolute() and not end.is_relative_to(folder):
                    path.unlink()
                    path.symlink_to(end)


def _aim_worktree(folder: Path, target: Path) -> None:
    """Let the ``.git`` file of a worktree or submodule name its repository from the copy too."""
    file = target / ".git"
    if file.is_file() and not file.is_symlink():
        kind, _, path = file.read_text("utf-8", "replace").strip().partition(": ")
        if kind == "gitdir":
            file.write_text(f"gitdir: {os.path.normpath(folder / path)}\n", encoding="utf-8")


def build_wheel(
    line: str,
    pip: Pip,
    *,
    name: str,
    options: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> Path:
    """Build the wheel of one requirement and return its file, below the scratch folder of `pip`.

    line: for a requirements file, such as ``name @ git+https://host/repo@COMMIT``.
    options: further lines, such as ``--index-url`` (isolated builds fetch their tools).
    Raises PipError when pip cannot build it, InstallError when what comes out
    does not fit the base.
    """
    folder = fresh_folder(pip.scratch, name)
    requirements = private_file(folder / "requirements.txt", "\n".join([*options, line, ""]))
    wheels = folder / "wheels"
    pip(
        "wheel",
        "--no-deps",
        # A wheel of the user's cache was built elsewhere, with other settings.
        "--no-cache-dir",
        f"--wheel-dir={wheels}",
        f"--requirement={requirements}",
        *arguments,
    )
    built = sorted(wheels.glob("*.whl"))
    if len(built) != 1:
        raise PipError(f"pip built {len(built)} wheels for {name}, expected one")
    _check_glibc(built[0], name, pip.target)
    return built[0]


def fresh_folder(scratch: Path, name: str) -> Path:
    """Make a folder below `scratch` that was not there."""
    scratch.mkdir(parents=True, exist_ok=True)
    for number in range(1_000_000):
        folder = scratch / (f"{name}-{number}" if number else name)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise InstallError(f"{scratch}: no name left for {name}")


def _check_glibc(wheel: Path, name: str, target: Interpreter) -> None:
    """Raise InstallError when a program in a wheel that was linked here needs a newer glibc.

    The versions that an ELF file needs stand as strings in its .dynstr section.
    """
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            with archive.open(item) as stream:
                start = stream.read(4)
                data = start + stream.read() if start == _ELF else b""
            newest = max((int(found) for found in _GLIBC.findall(data)), default=0)
            if newest > target.glibc[1]:
                raise InstallError(
                    f"{name}: {item.filename} was built here and needs glibc 2.{newest}, the base "
                    "has {}.{}".format(*target.glibc),
                    hint="add conda's compilers (c-compiler, cxx-compiler), which link for an "
                    "old glibc, or choose a base with a newer one",
                )
