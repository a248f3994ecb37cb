"""``slimpack lock``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from slimpack.cache import Cache, default_cache
from slimpack.cli.progress import choose, progress_option
from slimpack.config import Config
from slimpack.config_file import find_config, read_config
from slimpack.env.engine import ENGINES, choose_engine
from slimpack.env.inputs import Input, InputKind, identify
from slimpack.env.lockfiles import LockFormat, as_spec, format_of, write_locks
from slimpack.env.locking import (
    Locked,
    Options,
    Target,
    differences,
    is_specification,
    lock_all,
    read_spec,
)
from slimpack.env.rattler import RattlerEngine
from slimpack.errors import InputError, LockError
from slimpack.installing import DEFAULT_CHANNELS, DEFAULT_GLIBC, target_of
from slimpack.platforms import SUBDIRS, resolve
from slimpack.progress import Progress

_OUTPUT = Path("pixi.lock")


@click.command("lock")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where the lock goes [default: 'lock' of the configuration, else pixi.lock].",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    help="linux/amd64 or linux/arm64, more than once for several [default: this machine's].",
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
@click.option("-c", "--channel", "channels", multiple=True, help="Channels instead of the spec's.")
@click.option(
    "--glibc",
    metavar="VERSION",
    help="Offered to the solver as __glibc. The image's base decides what is there when it runs, "
    f"not this machine [default: {DEFAULT_GLIBC}, of RHEL 8, which every runtime has or exceeds].",
)
@click.option("--cuda", metavar="VERSION", help="Offered to the solver as __cuda.")
@click.option("--engine", type=click.Choice(ENGINES), help="What solves [default: auto].")
@click.option("--environment", metavar="NAME", help="Which environment of a pixi.lock.")
@click.option(
    "--category",
    "categories",
    multiple=True,
    metavar="NAME",
    help="Which categories of a conda-lock.yml [default: main].",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file [default: ./slimpack.toml or ./pyproject.toml].",
)
@click.option("--json", "as_json", is_flag=True, help="Result and progress as JSON.")
@progress_option
def lock_command(
    inputs: tuple[str, ...],
    output: Path | None,
    platforms: tuple[str, ...],
    form: str | None,
    check: bool,
    channels: tuple[str, ...],
    glibc: str | None,
    cuda: str | None,
    engine: str | None,
    environment: str | None,
    categories: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
    style: str,
) -> None:
    """Solve INPUT (an environment.yml or match specs) and write the lock.

    A lock as INPUT is converted into the format of the output. An @EXPLICIT list
    is for one platform: with several, put {platform} into its name.

    With --check nothing is written; the exit code is 10 when the lock no longer
    fits INPUT.
    """
    config = read_config(config_file) if config_file else find_config(Path())
    config = config.with_env(
        inputs=inputs or None,
        channels=channels or None,
        glibc=glibc,
        cuda=cuda,
        engine=engine,
        environment=environment,
        categories=categories or None,
    )
    source = identify(config.env.inputs)
    path = output or config.env.lock or _OUTPUT
    targets = [
        target_of(platform, config.env.glibc or DEFAULT_GLIBC, config.env.cuda)
        for platform in _platforms(platforms, config, source)
    ]
    cache = default_cache()
    if check:
        _check(source, targets, path, cache, config, as_json=as_json)
        return
    written_as = LockFormat(form) if form else format_of(path)
    progress = choose(style, as_json=as_json)
    locked = _locked(source, targets, cache, config, progress)
    locks = [item.lock for item in locked]
    spec = as_spec(source, locks)
    if is_specification(source):
        spec = read_spec(source, targets[0].subdir, _channels(source, config))
    files = write_locks(locks, path, written_as, spec)
    _show(source, locked, files, written_as, as_json=as_json)


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
    )


def _platforms(given: tuple[str, ...], config: Config, source: Input) -> list[str]:
    """Return OCI platforms: the flags', else the configuration's, the file's, this machine's."""
    if given or config.env.platform:
        return list(dict.fromkeys(map(resolve, given or (config.env.platform,))))
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
    as_json: bool,
) -> None:
    found = differences(source, targets, path, _embedded(cache), _options(source, config))
    if as_json:
        click.echo(json.dumps({"source": source.describe, "differences": found}, indent=2))
    if found:
        flags = [f"--platform={target.subdir}" for target in targets]
        command = ["slimpack", "lock", *config.env.inputs, "-o", str(path), *flags]
        raise LockError(
            f"{path} is no longer a lock of {source.describe}",
            details="\n".join(f"  {sentence}" for sentence in found),
            hint=f"run `{shlex.join(command)}` and commit the result",
        )
    if not as_json:
        click.echo(f"{path} fits {source.describe}")


def _show(
    source: Input,
    locked: Sequence[Locked],
    files: Sequence[Path],
    form: LockFormat,
    *,
    as_json: bool,
) -> None:
    notes = list(dict.fromkeys(note for item in locked for note in item.notes))
    platforms = {
        item.lock.platform: {"packages": len(item.lock.packages), "pypi": len(item.lock.pypi)}
        for item in locked
    }
    if as_json:
        result = {
            "source": source.describe,
            "format": form.value,
            "platforms": platforms,
            "outputs": [str(file) for file in files],
            "notes": notes,
        }
        click.echo(json.dumps(result, indent=2))
        return
    lines = [f"input     {source.describe}"]
    for platform, counts in platforms.items():
        pypi = f" and {counts['pypi']} of pip" if counts["pypi"] else ""
        lines.append(f"{platform:<9} {counts['packages']} of conda{pypi}")
    lines += [f"written   {file} ({form.value})" for file in files]
    lines += [f"note: {note}" for note in notes]
    click.echo("\n".join(lines))
