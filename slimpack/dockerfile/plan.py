"""From configuration to a recipe: the same environment, variables and files as a build.

The environment is solved and installed here, as `slimpack build` does it, since only then its
activation can be frozen and the entrypoint looked for.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack import app, content
from slimpack.base import Base, assemble
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.compat import compat_link
from slimpack.compose import check_environment, check_places, image_config
from slimpack.config import Config, CopyRule
from slimpack.cuda.found import cuda_version
from slimpack.deliver import references
from slimpack.dockerfile.recipe import BUILDER_IMAGE, DISTROLESS, Recipe, Source
from slimpack.dockerfile.slimmed import slimmed
from slimpack.env.activation import freeze
from slimpack.env.inputs.identify import InputKind
from slimpack.env.locks.lock import Lock
from slimpack.env.micromamba.engine import dependency_order
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.env.redact import redacted
from slimpack.environment import Environment, Located, decide, locate, platform_of, provide
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.own import LABEL
from slimpack.platforms import SUBDIRS
from slimpack.progress import SILENT, Progress
from slimpack.runtimes import Runtime, load_runtime
from slimpack.stages import Stages
from slimpack.tree import Entry, Kind, bytes_entry, under
from slimpack.verify.prefixes import forbidden_paths

Pin = Callable[[str], str]
"""Returns an image's name with its digest."""


@dataclass(frozen=True)
class Wanted:
    """What the command line says beyond the configuration.

    file: the Dockerfile. context: the folder that it is built in. builder, final: images, ""
    for the defaults. lock: where an @EXPLICIT list goes when one has to be written.
    """

    file: Path
    context: Path
    builder: str = ""
    final: str = ""
    lock: Path | None = None


@dataclass(frozen=True)
class Planned:
    """A recipe, and the files that it wants beside it: path -> text."""

    recipe: Recipe
    files: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


def plan(
    config: Config,
    wanted: Wanted,
    *,
    cache: Cache,
    pin: Pin,
    epoch: int,
    progress: Progress = SILENT,
) -> Planned:
    """Find out what the Dockerfile has to say. Raises what `slimpack.build.build` does."""
    context = wanted.context.resolve()
    file = _inside(wanted.file, context, "-o")
    sources = tuple(_source(rule, context) for rule in config.app.copy)
    builder, final = pin(wanted.builder or BUILDER_IMAGE), pin(_final_image(config, wanted))
    with cache.scratch() as scratch:
        located = locate(config, scratch, progress)
        _check_input(located)
        platform = platform_of(located, config)
        base = assemble(
            config,
            platform,
            cache=cache,
            layers=LayerCache(cache, BlobStore(scratch / "blobs", durable=False)),
            epoch=epoch,
            compression=Compression(kind="none", level=0),
            progress=progress,
        )
        solved = scratch / "solved.lock"
        keeping, stage = config.with_env(lock=solved), Stages()
        planned = decide(
            located,
            keeping,
            platform,
            config.env.glibc or base.glibc,
            cache=cache,
            progress=progress,
            stage=stage,
            for_gpu=base.gpu,
        )
        environment = provide(
            planned, keeping, cache=cache, scratch=scratch, progress=progress, stage=stage
        )
        reader = RattlerEngine(cache.packages, cache.repodata)
        lock = reader.read_lock(solved, SUBDIRS[platform])
        recipe, notes = _recipe(config, base, environment, scratch, cache, epoch, sources)
    place, files = _lock_files(lock, located, wanted, context)
    names = references(config.image)
    return Planned(
        replace(
            recipe,
            file=file,
            builder=builder,
            final=final,
            platform=platform,
            subdir=SUBDIRS[platform],
            lock=place,
            requirements=_inside(files[-1][0], context, "--lock") if lock.pypi else "",
            tag=names[0] if names else "",
        ),
        files,
        notes,
    )


def _recipe(
    config: Config,
    base: Base,
    environment: Environment,
    scratch: Path,
    cache: Cache,
    epoch: int,
    sources: tuple[Source, ...],
) -> tuple[Recipe, tuple[str, ...]]:
    prefix = config.image.prefix or base.prefix
    relocated = content.relocated(environment, prefix, scratch)
    activation = freeze(
        environment.prefix, prefix, environment.variables, origin=environment.origin
    )
    tree = relocated.tree.merge(_application(config))
    link: tuple[str, ...] = ()
    if config.env.cuda_compat:
        (entry,) = compat_link(tree, prefix, base.view)
        link = (entry.path, entry.link)
    check_places(tree, base, prefix)
    installed = environment.installed
    cuda = cuda_version(installed.versions)
    own = image_config(config, base, activation, tree, prefix=prefix, epoch=epoch, cuda=cuda)
    check_environment(
        own, forbidden_paths([str(scratch), str(cache.packages)], installed.placeholders)
    )
    inside = under(prefix, "")
    paths = [
        entry.path.removeprefix(inside)
        for entry in relocated.tree
        if entry.kind is not Kind.DIRECTORY
    ]
    names = [name for name, _ in installed.versions]
    drops, keeps, beyond = slimmed(config.slim, names, paths)
    recipe = Recipe(
        file="",
        builder="",
        final="",
        platform="",
        subdir="",
        lock="",
        requirements="",
        prefix=prefix,
        python=installed.get("python") is not None,
        run=_complete(own, base),
        sources=sources,
        prepare=config.app.prepare,
        prepare_env=(*activation.env, ("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONHASHSEED", "0")),
        drops=drops,
        keeps=keeps,
        link=link,
        epoch=epoch,
        notes=beyond,
    )
    return recipe, (*environment.notes, *activation.notes)


def _complete(own: ImageConfig, base: Base) -> ImageConfig:
    """Return all that containers need to start, whatever the final image says."""
    run = own.on(base.image.config)
    # Of what slimpack's base is made, and where it ends, is not true of another one.
    labels = {
        name: value
        for name, value in run.labels.items()
        if name != LABEL and (name in own.labels or not name.startswith("slimpack."))
    }
    return replace(run, labels=labels)


def _application(config: Config) -> Iterator[Entry]:
    """Yield the application's files as far as they are known before `prepare` has run."""
    yield from app.collect(config.app)
    program = next(iter(config.image.entrypoint or config.image.cmd), "")
    targets = [rule.target.rstrip("/") for rule in config.app.copy]
    made = any(program == one or program.startswith(f"{one}/") for one in targets)
    if config.app.prepare and made and program.strip("/") not in app.collect(config.app):
        yield bytes_entry(program.strip("/"), b"", mode=0o755, owner=app.OWNER)


def _check_input(located: Located) -> None:
    if located.source.kind in (InputKind.PREFIX, InputKind.ARCHIVE):
        raise InputError(
            f"{located.source.describe}: no lock tells how to make this environment again",
            hint="pass the specification or the lock that it was made of, or use `slimpack build`",
        )


def _source(rule: CopyRule, context: Path) -> Source:
    path = _inside(rule.source, context, "[[app.copy]] from")
    if not rule.source.exists():
        raise InputError(
            f"[[app.copy]] from: {rule.source} does not exist",
            hint="paths are relative to the configuration file",
        )
    folder = rule.source.is_dir()
    target = rule.target.strip("/")
    if not folder and rule.target.endswith("/"):
        target = posixpath.join(target, rule.source.name)
    return Source("" if path == "." else path, target, folder, rule.ignore)


def _inside(path: Path, context: Path, what: str) -> str:
    """Return a path relative to the context; InputError for one that lies outside of it."""
    whole = path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()
    if not whole.is_relative_to(context):
        raise InputError(
            f"{what}: {path} lies outside of the build's context, {context}",
            hint="pass --context FOLDER with a folder that holds all that is copied",
        )
    return whole.relative_to(context).as_posix()


def _final_image(config: Config, wanted: Wanted) -> str:
    """Return the image below: as told, the runtime's own, or the distroless one that equals it."""
    if wanted.final:
        return wanted.final
    runtime = load_runtime(config.image.runtime)
    if config.image.base is not None:
        return _reference(str(config.image.base))
    return runtime.image or _distroless(runtime)


def _reference(base: str) -> str:
    if Path(base).exists():
        raise InputError(
            f"--base {base}: a Dockerfile cannot take an image from a file",
            hint="push it and pass --final-image NAME; or name it --final-image base, and build "
            "with --build-context base=oci-layout://FOLDER",
        )
    return base


def _distroless(runtime: Runtime) -> str:
    known = set()
    if runtime.debian is not None:
        plain = load_runtime("distroless").debian
        known = set(plain.packages) if plain else set()
        image = DISTROLESS.get(runtime.debian.suites[0], "")
        if image and set(runtime.debian.packages) <= known and not runtime.files:
            return image
    raise InputError(
        f"runtime {runtime.name}: no published image is known to hold what it holds",
        hint="pass --final-image NAME@sha256:DIGEST",
    )


def _lock_files(
    lock: Lock, located: Located, wanted: Wanted, context: Path
) -> tuple[str, tuple[tuple[Path, str], ...]]:
    """Return where the lock is, relative to the context, and the files to write."""
    given = located.source.path
    use = located.source.kind is InputKind.EXPLICIT and given is not None and wanted.lock is None
    path = given if use and given else wanted.lock or wanted.file.with_name("explicit.txt")
    files = [] if use else [(path, _explicit(lock))]
    if lock.pypi:
        files.append((path.with_name(f"{path.stem}-pip.txt"), _requirements(lock)))
    return _inside(path, context, "the lock"), tuple(files)


def _explicit(lock: Lock) -> str:
    """Return an @EXPLICIT list in the order in which micromamba shall link."""
    lines = [f"# platform: {lock.platform}", "@EXPLICIT"]
    for package in dependency_order(lock.packages):
        digest = package.sha256 or package.md5
        lines.append(f"{redacted(package.url)}#{digest}" if digest else redacted(package.url))
    return "\n".join(lines) + "\n"


def _requirements(lock: Lock) -> str:
    """Return a requirements file that pip can check; InputError for what has no digest."""
    lines = []
    for package in lock.pypi:
        if not package.sha256 or not package.url.startswith(("https://", "http://")):
            raise InputError(
                f"the pip package {package.name} comes from {redacted(package.url)}, which a "
                "Dockerfile cannot fetch and check",
                hint="build a wheel of it and publish that, or use `slimpack build`",
            )
        lines.append(f"{package.name} @ {redacted(package.url)} --hash=sha256:{package.sha256}")
    return "\n".join(lines) + "\n"
