"""The one way through: from a specification to an image in every sink.

`build_image` reads as a straight line; each room is told what it needs and returns
data. Nothing flows back. `build` walks that way once for each platform, and delivers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimpack import app, content
from slimpack.base import assemble
from slimpack.cache import Cache
from slimpack.compat import compat_link
from slimpack.compose import (
    check_environment,
    check_places,
    gpu_notes,
    image_config,
    layer_names,
    references,
    sharing_notes,
    twice_notes,
)
from slimpack.config import Config
from slimpack.cuda.found import cuda_version
from slimpack.deliver import Outputs, deliver
from slimpack.env.activation import Activation, freeze
from slimpack.environment import locate, platform_of, provide
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import DEFAULT, Compression
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Deliverable, Index
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.plan import LayerPlan, plan_layers
from slimpack.oci.rootfs import base_directories
from slimpack.oci.sharing import duplicates, share_all
from slimpack.oci.tar import tar_size, with_parents
from slimpack.platforms import resolve
from slimpack.prefix.scripts import direct_shebang
from slimpack.preparing import runs_on
from slimpack.progress import SILENT, Progress
from slimpack.result import BuildResult, Built, LayerRow, Slimmed
from slimpack.slimming import begin
from slimpack.stages import Stages
from slimpack.tree import Kind, Tree
from slimpack.verify.model import Verification
from slimpack.verify.opening import open_image, open_prefix
from slimpack.verify.prefixes import forbidden_paths, scanned
from slimpack.verify.verifying import raise_if_failed, verify

# Zip files and some tools know no date before 1980.
DEFAULT_EPOCH = 315_532_800
DEFAULT_PROFILE = "safe"
_LEVELS = {"zstd": DEFAULT.level, "gzip": 6, "none": 0}


def build(
    config: Config,
    outputs: Outputs,
    *,
    cache: Cache,
    progress: Progress = SILENT,
    epoch: int = DEFAULT_EPOCH,
) -> Built:
    """Build the image that `config` describes and deliver it to `outputs`.

    Several platforms make an index of as many images. epoch: mtime of every file and
    creation date of the image, in seconds. Raises the children of SlimpackError;
    whatever happens, nothing is left half-written and no scratch file stays.
    """
    names = references(config.image)
    made: list[tuple[Image, BuildResult]] = []
    stage = Stages()
    with cache.scratch() as scratch:
        blobs = BlobStore(scratch / "blobs", durable=False)
        for own, folder in _for_each(config, scratch):
            made.append(
                build_image(own, cache, blobs, folder, names=names, progress=progress, epoch=epoch)
            )
        images = [image for image, _ in made]
        target: Deliverable = images[0] if len(images) == 1 else Index(tuple(images))
        with stage("output"):
            deliver(target, names, outputs, progress)
    return Built(
        digest=target.digest,
        references=names,
        outputs=outputs.paths,
        size=target.size,
        images=tuple(result for _, result in made),
        stages=tuple(stage.seconds),
    )


def _for_each(config: Config, scratch: Path) -> Iterator[tuple[Config, Path]]:
    """Yield a configuration for each platform, and a scratch folder of its own."""
    platforms = tuple(resolve(platform) for platform in config.env.platforms)
    if len(platforms) < 2:
        one = config.with_env(platform=platforms[0], platforms=()) if platforms else config
        yield one, scratch
        return
    twice = next((one for one in platforms if platforms.count(one) > 1), None)
    if twice:
        raise InputError(f"{twice} is asked for twice", hint="name each platform once")
    if config.env.lock is not None:
        raise InputError(
            "--lock: a build for several platforms writes none",
            hint="`slimpack lock` writes one for all of them; build from that",
        )
    for platform in platforms:
        folder = scratch / platform.rpartition("/")[2]
        folder.mkdir()
        yield config.with_env(platform=platform, platforms=()), folder


def build_image(
    config: Config,
    cache: Cache,
    blobs: BlobStore,
    scratch: Path,
    *,
    names: tuple[str, ...] = (),
    progress: Progress = SILENT,
    epoch: int = DEFAULT_EPOCH,
) -> tuple[Image, BuildResult]:
    """Build the image for one platform, with its layers in `blobs`.

    scratch: an empty folder, on the cache's file system, that outlives the image.
    names: what it is called in messages. Raises the children of SlimpackError.
    """
    stage = Stages()
    compression = _compression(config)
    with stage("input"):
        located = locate(config, scratch, progress)
        platform = platform_of(located, config)
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
    environment = provide(
        located,
        config,
        platform,
        config.env.glibc or base.glibc,
        cache=cache,
        scratch=scratch,
        progress=progress,
        stage=stage,
        for_gpu=base.gpu,
    )
    staging, installed = environment.prefix, environment.installed
    with stage("relocate"):
        relocated = content.relocated(environment, prefix, scratch)
        activation = freeze(staging, prefix, environment.variables, origin=environment.origin)
    with stage("application"):
        runs = runs_on(platform, base.image, staging, scratch)
        application = _application(config, staging, activation, prefix, scratch, runs)
        tree = _joined(relocated.tree, application)
        if config.env.cuda_compat:
            tree = tree.merge(compat_link(tree, prefix, base.view))
        check_places(tree, base, prefix)
    with stage("slim"):
        slimming = begin(config.slim, DEFAULT_PROFILE, environment, relocated, tree, prefix)
        tree = slimming.dropped(tree) if slimming else tree
    with stage("bytecode"):
        tree, bytecode = content.with_bytecode(
            tree,
            environment,
            relocated,
            dest_prefix=prefix,
            scratch=scratch,
            checked=False,
            progress=progress,
        )
    with stage("shrink"):
        if slimming:
            tree, slimming = slimming.finished(tree)
        tree = content.with_true_records(tree, environment, relocated, prefix)
    forbidden = forbidden_paths([str(scratch), str(cache.packages)], installed.placeholders)
    cuda = cuda_version(installed.versions)
    run = image_config(config, base, activation, tree, prefix=prefix, epoch=epoch, cuda=cuda)
    check_environment(run, forbidden)
    with stage("layers"):
        plans = plan_layers(
            scanned(
                tree,
                forbidden,
                allow=config.image.allow_build_paths,
                origin="" if environment.origin == prefix else environment.origin,
                vouched=content.vouched(relocated),
            ),
            budget=config.image.layers,
            max_layer_bytes=config.image.max_layer_size,
            last_owners=(app.OWNER,),
            directories=base_directories(base.view, (entry.path for entry in tree)),
        )
        identical = duplicates(entry for plan in plans for entry in plan.entries)
        plans, shared = share_all(plans, apart=(app.OWNER,))
        layers = _layers(plans, layer_names(plans, installed), compression, blobs, epoch, progress)
    image = make_image(layers, run, base=base.image, comment="slimpack")
    with stage("verify"):
        verification = _verified(image, names, config, staging, scratch, progress)
    rows = (*base.rows, *(_row(plan, layer) for plan, layer in zip(plans, layers, strict=True)))
    result = BuildResult(
        digest=image.digest,
        image_id=image.config_digest,
        platform=platform,
        source=environment.source,
        engine=environment.engine,
        packages=len(installed.packages),
        pypi=len(installed.dists),
        files=sum(row.files for row in rows),
        layers=rows,
        size=image.size,
        bytecode=bytecode,
        slimmed=Slimmed.of(slimming.account if slimming else None),
        verified=verification,
        notes=(
            *base.notes,
            *gpu_notes(base, cuda),
            *twice_notes(base, tree),
            *(slimming.notes if slimming else ()),
            *(slimming.promises(on_gpu=_on_gpu(config, verification)) if slimming else ()),
            *activation.notes,
            *content.notes(environment, relocated, bytecode),
            *sharing_notes(identical, shared),
        ),
        stages=tuple(stage.seconds),
    )
    return image, result


def _verified(
    image: Image,
    names: tuple[str, ...],
    config: Config,
    staging: Path,
    scratch: Path,
    progress: Progress,
) -> Verification | None:
    """Prove that the image works before anybody gets it; None where that is switched off.

    Every byte was searched for build paths while the layers were written. What could not
    be imported in the environment as it was installed is no fault of the image.
    """
    if not config.verify.enabled:
        return None
    name = names[0] if names else "the image"
    subject = open_image(image, scratch / "root", name, progress=progress)
    result = verify(
        subject, config.verify, scan=False, before=open_prefix(staging), progress=progress
    )
    raise_if_failed(result)
    return result


def _on_gpu(config: Config, verification: Verification | None) -> bool:
    """Tell whether the user's tests for a GPU ran on one, and all went well."""
    done = [one for one in (verification.results if verification else ()) if one.name == "smoke"]
    asked = any(test.gpu for test in config.verify.smoke)
    return asked and any(not one.skipped and not one.findings for one in done)


def _application(
    config: Config,
    staging: Path,
    activation: Activation,
    prefix: str,
    scratch: Path,
    runs: app.Run,
) -> Tree:
    folder = scratch / "application"
    folder.mkdir()
    here = [(name, value.replace(prefix, str(staging))) for name, value in activation.env]
    prepared = app.prepare(config.app, prefix=staging, env=here, scratch=folder, run=runs)
    tree = app.collect(prepared)
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


def _row(plan: LayerPlan, layer: Layer) -> LayerRow:
    return LayerRow(
        name=layer.name,
        files=sum(entry.kind is not Kind.DIRECTORY for entry in plan.entries),
        unpacked=plan.size,
        compressed=layer.size,
        digest=layer.digest,
    )
