"""The one way through: from a specification to an image in every sink.

`build` reads as a straight line; each room is told what it needs and returns
data. Nothing flows back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slimpack import app, daemon
from slimpack.base import assemble
from slimpack.cache import Cache
from slimpack.compose import (
    check_environment,
    check_places,
    image_config,
    layer_names,
    references,
)
from slimpack.config import Config
from slimpack.env.activation import Activation, freeze
from slimpack.env.inputs import InputKind, detect
from slimpack.env.lock import Lock, read_explicit, write_lock
from slimpack.env.meta import Installed, read_installed
from slimpack.env.rattler import RattlerEngine
from slimpack.env.spec import read_environment_yml
from slimpack.errors import InputError
from slimpack.oci.archive import write_archive
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import DEFAULT, Compression
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.layout import write_layout
from slimpack.oci.plan import LayerPlan, plan_layers
from slimpack.oci.rootfs import base_directories
from slimpack.oci.tar import tar_size, with_parents
from slimpack.platforms import SUBDIRS, resolve, virtual_packages
from slimpack.progress import SILENT, Progress
from slimpack.relocate import Relocated, direct_shebang, relocate, with_records
from slimpack.result import BuildResult, LayerRow
from slimpack.slim.bytecode import (
    BytecodeReport,
    add_bytecode,
    cache_tag,
    candidates,
    interpreter_tag,
)
from slimpack.tree import Entry, Kind, Tree, under
from slimpack.verify.prefixes import forbidden_paths, scanned

# Zip files and some tools know no date before 1980.
DEFAULT_EPOCH = 315_532_800
_LEVELS = {"zstd": DEFAULT.level, "gzip": 6, "none": 0}


@dataclass(frozen=True)
class Outputs:
    """Where the image goes.

    paths: an OCI layout folder when the text ends in "/" or is a folder, else
        one tar that is an OCI layout and a docker-archive at once.
    load: into the Docker engine.
    """

    paths: tuple[str, ...] = ()
    load: bool = False


@dataclass
class _Stages:
    """A stop watch for the parts of a build."""

    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds.append((name, time.monotonic() - start))


def build(
    config: Config,
    outputs: Outputs,
    *,
    cache: Cache,
    progress: Progress = SILENT,
    epoch: int = DEFAULT_EPOCH,
) -> BuildResult:
    """Build the image that `config` describes and deliver it to `outputs`.

    epoch: mtime of every file and creation date of the image, in seconds.
    Raises the children of SlimpackError; whatever happens, nothing is left
    half-written and no scratch file stays.
    """
    stage = _Stages()
    platform = resolve(config.env.platform)
    names = references(config.image)
    compression = _compression(config)
    with cache.scratch() as scratch:
        blobs = BlobStore(scratch / "blobs", durable=False)
        with stage("base"):
            base = assemble(
                config,
                platform,
                cache=cache,
                blobs=blobs,
                epoch=epoch,
                compression=compression,
                progress=progress,
            )
        prefix = config.image.prefix or base.prefix
        engine = RattlerEngine(cache.packages, cache.repodata)
        with stage("solve"):
            lock, variables = find_lock(config, engine, platform, base.glibc, progress)
        staging = scratch / "p"
        with stage("install"):
            engine.install(lock, staging, progress=progress)
            installed = read_installed(staging)
        with stage("relocate"):
            relocated = _relocate(staging, prefix, installed, scratch)
            activation = freeze(staging, prefix, variables)
        with stage("application"):
            application = _application(config, staging, activation, prefix, scratch)
            tree = _joined(relocated.tree, application)
            check_places(tree, base, prefix)
        with stage("bytecode"):
            tree, bytecode = _bytecode(
                tree, prefix, relocated, installed, staging, scratch, progress
            )
            tree = with_records(tree, relocated, prefix)
        forbidden = forbidden_paths([str(scratch), str(cache.packages)], installed.placeholders)
        run = image_config(config, base, activation, tree, prefix=prefix, epoch=epoch)
        check_environment(run, forbidden)
        with stage("layers"):
            plans = plan_layers(
                scanned(tree, forbidden, allow=config.image.allow_build_paths),
                budget=config.image.layers,
                max_layer_bytes=config.image.max_layer_size,
                last_owners=(app.OWNER,),
                directories=base_directories(base.view, (entry.path for entry in tree)),
            )
            layers = _layers(
                plans, layer_names(plans, installed), compression, blobs, epoch, progress
            )
        image = make_image(layers, run, base=base.image, comment="slimpack")
        with stage("output"):
            _deliver(image, names, outputs, progress)
    rows = (*base.rows, *(_row(plan, layer) for plan, layer in zip(plans, layers, strict=True)))
    return BuildResult(
        digest=image.digest,
        image_id=image.config_digest,
        platform=platform,
        references=names,
        packages=len(lock.packages),
        files=sum(row.files for row in rows),
        layers=rows,
        size=image.size,
        bytecode=bytecode,
        notes=(*base.notes, *activation.notes, *_replacements(installed), *_failures(bytecode)),
        stages=tuple(stage.seconds),
        outputs=outputs.paths,
    )


def find_lock(
    config: Config, engine: RattlerEngine, platform: str, glibc: str, progress: Progress
) -> tuple[Lock, tuple[tuple[str, str], ...]]:
    """Return which packages, exactly, and the variables that the specification sets.

    An environment.yml is solved; a lock or an ``@EXPLICIT`` list is taken as it
    is. The lock is written to ``env.lock`` when the configuration asks for it.
    """
    path = Path(config.env.inputs[0]) if config.env.inputs else None
    if path is None:
        raise InputError(
            "nothing to build",
            hint="pass an environment.yml, or set 'spec' under [env] in slimpack.toml",
        )
    subdir = SUBDIRS[platform]
    kind = detect(path)
    variables: tuple[tuple[str, str], ...] = ()
    with progress.task(f"solve {kind.value}", unit="step"):
        if kind is InputKind.LOCK:
            lock = engine.read_lock(path, subdir)
        elif kind is InputKind.EXPLICIT:
            lock = engine.resolve_explicit(read_explicit(path), subdir, source=str(path))
        else:
            spec = read_environment_yml(path)
            variables = spec.variables
            lock = engine.solve(
                spec.with_channels(config.env.channels),
                subdir,
                virtual_packages(platform, glibc=glibc, cuda=config.env.cuda),
                strict_priority=config.env.channel_priority == "strict",
            )
    if config.env.lock is not None:
        write_lock(lock, config.env.lock)
    return lock, variables


def _relocate(staging: Path, prefix: str, installed: Installed, scratch: Path) -> Relocated:
    spill = scratch / "rewritten"
    spill.mkdir()
    return relocate(staging, prefix, installed=installed, scratch=spill)


def _application(
    config: Config, staging: Path, activation: Activation, prefix: str, scratch: Path
) -> Tree:
    folder = scratch / "application"
    folder.mkdir()
    here = [(name, value.replace(prefix, str(staging))) for name, value in activation.env]
    tree = app.collect(app.prepare(config.app, prefix=staging, env=here, scratch=folder))
    return tree.map(
        lambda entry: direct_shebang(entry, prefix, staging) if entry.mode & 0o111 else entry
    )


def _joined(env: Tree, application: Tree) -> Tree:
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


def _bytecode(
    tree: Tree,
    prefix: str,
    relocated: Relocated,
    installed: Installed,
    staging: Path,
    scratch: Path,
    progress: Progress,
) -> tuple[Tree, BytecodeReport]:
    python = installed.get("python")
    if python is None:
        return tree, BytecodeReport()
    # Its own interpreter knows best (pypy39, cpython-313t), where it runs.
    tag = cache_tag(staging / "bin" / "python") or interpreter_tag(python.version)
    folder = scratch / "bytecode"
    folder.mkdir()

    def shipped(entry: Entry) -> Path | None:
        return relocated.sources.get(entry.path)

    return add_bytecode(
        tree,
        python=candidates(staging, python.version),
        tag=tag,
        scratch=folder,
        scripts=under(prefix, "bin"),
        reusable=shipped,
        progress=progress,
    )


def _layers(
    plans: list[LayerPlan],
    names: list[str],
    compression: Compression,
    blobs: BlobStore,
    epoch: int,
    progress: Progress,
) -> list[Layer]:
    total = sum(tar_size(with_parents(plan.entries)) for plan in plans)
    layers = []
    with progress.task("layers", total=total) as task:
        for plan, name in zip(plans, names, strict=True):
            layers.append(
                build_layer(
                    name,
                    plan.entries,
                    blobs=blobs,
                    mtime=epoch,
                    compression=compression,
                    advance=task.advance,
                )
            )
    return layers


def _compression(config: Config) -> Compression:
    kind, level = config.image.compression, config.image.compression_level
    return Compression(kind=kind, level=_LEVELS[kind] if level is None else level)


def _deliver(image: Image, names: tuple[str, ...], outputs: Outputs, progress: Progress) -> None:
    for text in outputs.paths:
        path = Path(text)
        if text.endswith("/") or path.is_dir():
            write_layout(image, path, names)
        else:
            write_archive(image, path, names)
    if outputs.load:
        daemon.load_into_docker(image, names, progress=progress)


def _row(plan: LayerPlan, layer: Layer) -> LayerRow:
    return LayerRow(
        name=layer.name,
        files=sum(entry.kind is not Kind.DIRECTORY for entry in plan.entries),
        unpacked=plan.size,
        compressed=layer.size,
        digest=layer.digest,
    )


def _replacements(installed: Installed) -> Iterator[str]:
    for path, winner, loser in installed.replacements:
        yield f"{path} is that of package {winner}; package {loser} has another"


def _failures(bytecode: BytecodeReport) -> Iterator[str]:
    for path, message in bytecode.failed:
        yield f"{path} cannot be compiled and ships without bytecode ({message})"
