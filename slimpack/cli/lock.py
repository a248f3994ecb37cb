"""``slimpack lock``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from slimpack.cache import Cache, default_cache
from slimpack.cli.options import solving_options
from slimpack.cli.outputs import check_output
from slimpack.cli.telling import platform_option, telling_options
from slimpack.config import DEFAULT_GLIBC, Config
from slimpack.env.cpubuilds import Gpu
from slimpack.env.engine import choose_engine
from slimpack.env.inputs.identify import Input, InputKind, identify
from slimpack.env.locking import (
    Locked,
    Options,
    Target,
    differences,
    is_specification,
    lock_all,
    read_spec,
)
from slimpack.env.locks.files import LockFormat, as_spec, format_of, write_locks
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError, LockError
from slimpack.installing import DEFAULT_CHANNELS, target_of
from slimpack.platforms import SUBDIRS, resolve
from slimpack.progress import Progress

_OUTPUT = Path("pixi.lock")


@click.command("lock", short_help="Solve and write a lock, or check one.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the lock goes [default: 'lock' of the configuration, else pixi.lock].",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in LockFormat]),
    help="[default: by the name: *-lock.yml conda-lock, *.lock rattler, *.txt explicit]",
)
@click.option(
    "--check", is_flag=True, help="Only compare the lock with INPUT; nothing is solved or written."
)
@platform_option(
    "linux/amd64 or linux/arm64; several with a comma, or more than once [default: this "
    "machine's].",
    multiple=True,
)
@solving_options
@telling_options("Print nothing when all is well.")
def lock_command(
    config: Config,
    output: Path | None,
    form: str | None,
    check: bool,
    platform: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    progress: Progress,
) -> None:
    """Solve INPUT (an environment.yml or match specs) and write the lock.

    A lock as INPUT is converted into the format of the output. An @EXPLICIT list
    is for one platform: with several, put {platform} into its name.

    With --check nothing is written; the exit code is 10 when the lock no longer
    fits INPUT.
    """
    source = identify(config.env.inputs)
    path = output or config.env.lock or _OUTPUT
    targets = [
        target_of(platform, config.env.glibc or DEFAULT_GLIBC, config.env.cuda)
        for platform in _platforms(platform, config, source)
    ]
    cache = default_cache()
    if check:
        _check(source, targets, path, cache, config, quiet=quiet, as_json=as_json)
        return
    check_output(str(path), config)
    written_as = LockFormat(form) if form else format_of(path)
    locked = _locked(source, targets, cache, config, progress)
    locks = [item.lock for item in locked]
    spec = as_spec(source, locks)
    if is_specification(source):
        spec = read_spec(source, targets[0].subdir, _channels(source, config))
    files = write_locks(locks, path, written_as, spec)
    if as_json:
        click.echo(json.dumps(_result(source, locked, files, written_as), indent=2))
    elif not quiet:
        click.echo(_summary(source, locked, files, written_as))


def _channels(source: Input, config: Config) -> tuple[str, ...]:
    if source.kind is InputKind.SPECS:
        return config.env.channels or DEFAULT_CHANNELS
    return config.env.channels


def _options(source: Input, config: Config) -> Options:
    return Options(
        channels=_channels(source, config),
        strict_priority=config.env.channel_priority == "strict",
        environment=config.env.environment,
        categories=config.env.categories,
        gpu=Gpu(config.env.cuda, config.env.allow_cpu) if config.env.cuda else None,
    )


def _platforms(given: tuple[str, ...], config: Config, source: Input) -> list[str]:
    """Return OCI platforms: the flags', else the configuration's, the file's, this machine's."""
    given = tuple(name for text in given for name in text.split(","))
    own = config.env.platforms or tuple(filter(None, [config.env.platform]))
    if given or own:
        return list(dict.fromkeys(map(resolve, given or own)))
    named: tuple[str, ...] = ()
    if is_specification(source):
        named = read_spec(source, SUBDIRS["linux/amd64"]).platforms
    known = [platform for platform, subdir in SUBDIRS.items() if subdir in named]
    if named and not known:
        raise InputError(
            f"{source.describe}: platforms: {', '.join(named)}: none that images have",
            hint=f"add one of {', '.join(SUBDIRS.values())}, or pass --platform",
        )
    return known or [resolve("")]


def _embedded(cache: Cache) -> RattlerEngine:
    return RattlerEngine(cache.packages, cache.repodata)


def _locked(
    source: Input, targets: Sequence[Target], cache: Cache, config: Config, progress: Progress
) -> tuple[Locked, ...]:
    with cache.scratch() as scratch:
        return lock_all(
            source,
            targets,
            embedded=_embedded(cache),
            engine=choose_engine(config.env.engine, cache.packages, cache.repodata),
            scratch=scratch,
            options=_options(source, config),
            progress=progress,
        )


def _check(
    source: Input,
    targets: Sequence[Target],
    path: Path,
    cache: Cache,
    config: Config,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    found = differences(source, targets, path, _embedded(cache), _options(source, config))
    if as_json:
        click.echo(json.dumps({"source": source.describe, "differences": found}, indent=2))
    if found:
        raise LockError(
            f"{path} is no longer a lock of {source.describe}",
            details="\n".join(f"  {sentence}" for sentence in found),
            hint="run the same command without --check and commit the result",
        )
    if not (quiet or as_json):
        click.echo(f"{path} fits {source.describe}")


def _notes(locked: Sequence[Locked]) -> list[str]:
    return list(dict.fromkeys(note for item in locked for note in item.notes))


def _result(
    source: Input, locked: Sequence[Locked], files: Sequence[Path], form: LockFormat
) -> dict[str, object]:
    return {
        "source": source.describe,
        "format": form.value,
        "platforms": {
            item.lock.platform: {"packages": len(item.lock.packages), "pypi": len(item.lock.pypi)}
            for item in locked
        },
        "outputs": [str(file) for file in files],
        "notes": _notes(locked),
    }


def _summary(
    source: Input, locked: Sequence[Locked], files: Sequence[Path], form: LockFormat
) -> str:
    lines = [f"input     {source.describe}"]
    for lock in (item.lock for item in locked):
        pypi = f" and {len(lock.pypi)} of pip" if lock.pypi else ""
        lines.append(f"{lock.platform:<9} {len(lock.packages)} of conda{pypi}")
    lines += [f"written   {file} ({form.value})" for file in files]
    lines += [f"note: {note}" for note in _notes(locked)]
    return "\n".join(lines)
