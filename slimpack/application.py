"""The application as it goes into an image: prepared, collected, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slimpack import app
from slimpack.config import AppConfig
from slimpack.errors import InputError
from slimpack.prefix.scripts import direct_shebang
from slimpack.reading import unchanging
from slimpack.tree import Tree


def prepared(
    config: AppConfig,
    staging: Path,
    activation: Sequence[tuple[str, str]],
    prefix: str,
    scratch: Path,
    run: app.Run,
) -> AppConfig:
    """Run ``app.prepare`` and return the config for what it made; see `slimpack.app.prepare`.

    staging: the installed environment. activation: its variables, for `prefix`.
    """
    folder = scratch / "application"
    folder.mkdir()
    here = [(name, value.replace(prefix, str(staging))) for name, value in activation]
    return app.prepare(config, prefix=staging, env=here, scratch=folder, run=run)


def collected(config: AppConfig, prefix: str, has: Callable[[str], bool]) -> Tree:
    """Return the application's files, each with an identity.

    prefix: of the environment in the image. has: tells whether it has a program of a name.
    Raises InputError as `slimpack.app.collect` does.
    """
    return app.collect(config).map(
        lambda entry: unchanging(
            direct_shebang(entry, prefix, has) if entry.mode & 0o111 else entry
        )
    )


def joined(env: Tree, application: Tree) -> Tree:
    """Return both together; InputError where they want one path."""
    clash = next((entry.path for entry in application if entry.path in env), None)
    if clash is not None:
        raise InputError(
            f"[[app.copy]]: /{clash} is a file of the environment too",
            hint="copy the application to a folder of its own, such as /app",
        )
    try:
        return env.merge(application)
    except ValueError as error:
        raise InputError(f"[[app.copy]]: {error}", hint="copy it to another folder") from error
