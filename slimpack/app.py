"""The application: files that are copied in, and the step that prepares them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from slimpack.config import AppConfig, CopyRule
from slimpack.errors import InputError
from slimpack.tree import Entry, Tree, file_entry, symlink_entry

OWNER = "application"
# Never part of an application, whatever the patterns say.
ALWAYS_IGNORED = (".git/", "__pycache__", "*.pyc")
_NO_PROGRAM = 127  # as shells say it

Run = Callable[[tuple[str, ...], Path, dict[str, str]], tuple[int, bytes]]
"""Takes a command, its folder and its variables; returns its exit code and what it wrote."""


def collect(config: AppConfig) -> Tree:
    """Return the application's files at their paths in the image.

    Raises InputError for a source that does not exist, a pattern that is none,
    a link that leaves its folder, a file that is none, or two sources of one path.
    """
    entries: dict[str, Entry] = {}
    for rule in config.copy:
        for entry in _entries(rule):
            if entry.path in entries:
                raise InputError(f"[[app.copy]]: /{entry.path} is copied twice")
            entries[entry.path] = entry
    try:
        return Tree(entries.values())
    except ValueError as error:
        raise InputError(f"[[app.copy]]: {error}") from error


def run_here(
    command: tuple[str, ...], folder: Path, environment: dict[str, str]
) -> tuple[int, bytes]:
    """Run a command on this machine; return its exit code, 127 for none, and what it wrote."""
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        return _NO_PROGRAM, b""
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout


def prepare(
    config: AppConfig,
    *,
    prefix: Path,
    env: Sequence[tuple[str, str]],
    scratch: Path,
    run: Run = run_here,
) -> AppConfig:
    """Run ``app.prepare`` in a copy of the application and return the config for that copy.

    It runs in the copy of the first folder. Python finds modules of others that lie beside them
    in the image, as it will find them there.

    prefix: the installed environment; its ``bin`` comes first on PATH.
    env: the frozen activation, for `prefix`.
    scratch: an empty folder that outlives the build; the user's own files are
        never written to. run: where it runs. Raises InputError when the command fails.
    """
    if not config.prepare:
        return config
    moved = tuple(
        replace(rule, source=_copied(rule, scratch, number))
        for number, rule in enumerate(config.copy)
    )
    folder = _folder(moved[0])
    environment = {
        **dict(env),
        "CONDA_PREFIX": str(prefix),
        "HOME": str(scratch),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        # A .pyc in the staging prefix would be taken for a file of the environment.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
    beside = [str(_folder(rule)) for rule in moved[1:] if _place(rule) == _place(moved[0])]
    if beside:
        given = filter(None, [environment.get("PYTHONPATH")])
        environment["PYTHONPATH"] = os.pathsep.join((*beside, *given))
    _checked(config.prepare, *run(config.prepare, folder, environment))
    return replace(config, copy=moved)


def _checked(command: tuple[str, ...], code: int, output: bytes) -> None:
    if not code:
        return
    text = output[-4000:].decode("utf-8", "replace").strip()
    if code == _NO_PROGRAM:
        raise InputError(
            f"[app] prepare: no program {command[0]!r} in the environment",
            details=text,
            hint="add the package that has it to the environment",
        )
    raise InputError(
        f"[app] prepare: {' '.join(command)} failed with exit code {code}", details=text
    )


def _copied(rule: CopyRule, scratch: Path, number: int) -> Path:
    target = scratch / str(number) / rule.source.name
    if not rule.source.is_dir():
        target.parent.mkdir(parents=True)
        _check_exists(rule.source)
        shutil.copy2(rule.source, target)
        return target
    target.mkdir(parents=True)
    # What is not packed may still be needed to prepare: a script, training data.
    for path, relative in _walk(replace(rule, ignore=())):
        place = target / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place, follow_symlinks=False)
    return target


def _folder(rule: CopyRule) -> Path:
    """Return the folder that holds what a rule copies."""
    return rule.source if rule.source.is_dir() else rule.source.parent


def _place(rule: CopyRule) -> str:
    """Return the folder of the image that a rule's files come to lie in."""
    place = PurePosixPath(rule.target)
    is_inside = rule.source.is_dir() or rule.target.endswith("/")
    return str(place if is_inside else place.parent).strip("/")


def _entries(rule: CopyRule) -> Iterator[Entry]:
    _check_exists(rule.source)
    base = rule.target.strip("/")
    if rule.source.is_file():
        # As `cp`: into a folder when the target ends with a slash.
        path = f"{base}/{rule.source.name}" if rule.target.endswith("/") else base
        yield _entry(path.lstrip("/"), rule.source.resolve(), rule.source.parent)
        return
    for source, relative in _walk(rule):
        yield _entry(f"{base}/{relative}".lstrip("/"), source, rule.source)


def _walk(rule: CopyRule) -> Iterator[tuple[Path, str]]:
    """Yield the files and links of a folder that are not ignored, sorted."""
    try:
        ignored = GitIgnoreSpec.from_lines((*rule.ignore, *ALWAYS_IGNORED))
    except ValueError as error:
        raise InputError(f"[[app.copy]] ignore: {error}") from error
    for folder, folders, files in os.walk(rule.source, onerror=_refuse):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(
            name
            for name in folders
            if name not in links
            and not ignored.match_file(f"{Path(folder, name).relative_to(rule.source)}/")
        )
        for name in sorted([*files, *links]):
            path = Path(folder, name)
            relative = path.relative_to(rule.source).as_posix()
            if not ignored.match_file(relative):
                yield path, relative


def _refuse(error: OSError) -> None:
    raise InputError(
        f"[[app.copy]]: {error.filename}: {error.strerror}",
        hint="make it readable, or ignore it",
    ) from error


def _entry(path: str, source: Path, root: Path) -> Entry:
    if source.is_symlink():
        return symlink_entry(path, _inner_link(source, root), owner=OWNER)
    try:
        return file_entry(path, source, owner=OWNER)
    except ValueError as error:
        raise InputError(
            f"[[app.copy]]: {error}", hint="add it to 'ignore' of its [[app.copy]]"
        ) from error


def _inner_link(source: Path, root: Path) -> str:
    """Return the target of a link, relative, for it must lead to the same file in the image."""
    try:
        real = source.resolve(strict=True)
        inside = real.is_relative_to(root.resolve())
    except (RuntimeError, OSError):  # a loop, or nothing there
        inside = False
    if not inside:
        raise InputError(
            f"[[app.copy]]: {source} is a link that leads out of {root}, or nowhere",
            hint="replace it by the file, or ignore it",
        )
    target = source.readlink()
    if target.is_absolute():
        return os.path.relpath(real, source.parent.resolve())
    return str(target)


def _check_exists(source: Path) -> None:
    if not source.exists():
        raise InputError(
            f"[[app.copy]] from: {source} does not exist",
            hint="paths are relative to the configuration file",
        )
