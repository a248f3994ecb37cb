"""The one way through: from a specification to an image in every sink.

`slimpack.imaging.build_image` is walked once for each platform; what comes out goes to
the sinks, with documents about it, and into the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from slimpack.attestation import Attestation, documents_of, write_documents
from slimpack.cache import Cache
from slimpack.cache.building import BuildCaches, open_caches
from slimpack.cache.limits import size_limit
from slimpack.compose import references
from slimpack.config import Config
from slimpack.deliver import Outputs, Pushing, deliver
from slimpack.errors import InputError, SlimpackError
from slimpack.imaging import Made, build_image
from slimpack.means import Means
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import DEFAULT, Compression
from slimpack.oci.image import Image
from slimpack.oci.index import Deliverable, Index
from slimpack.part import DEFAULT_PROFILE
from slimpack.platforms import resolve
from slimpack.progress import SILENT, Progress
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference
from slimpack.result import Built
from slimpack.stages import Stages
from slimpack.warm.compiled import BYTECODE
from slimpack.warm.noswap import StartOver
from slimpack.warm.recall import FAMILY, PART

__all__ = ["DEFAULT_EPOCH", "DEFAULT_PROFILE", "RemoteCaching", "build"]

# Zip files and some tools know no date before 1980.
DEFAULT_EPOCH = 315_532_800
_LEVELS = {"zstd": DEFAULT.level, "gzip": 6, "none": 0}
_SHARED = (PART, FAMILY, BYTECODE, "sharing", "duplicates")


@dataclass(frozen=True)
class RemoteCaching:
    """Repositories that keep what builds made (docs/cache.md): read, and written to."""

    sources: tuple[Reference, ...] = ()
    to: Reference | None = None


def build(
    config: Config,
    outputs: Outputs,
    *,
    cache: Cache,
    remote: RemoteCaching = RemoteCaching(),
    progress: Progress = SILENT,
    epoch: int = DEFAULT_EPOCH,
) -> Built:
    """Build the image that `config` describes and deliver it to `outputs`.

    Several platforms make an index of as many images. epoch: mtime of every file and
    creation date of the image, in seconds. Raises the children of SlimpackError;
    whatever happens, nothing is left half-written and no scratch file stays.
    """
    task = _Task(config, outputs, cache, remote, progress, epoch)
    try:
        return task.run(warm=True)
    except StartOver:
        return task.run(warm=False)


@dataclass(frozen=True)
class _Task:
    config: Config
    outputs: Outputs
    cache: Cache
    remote: RemoteCaching
    progress: Progress
    epoch: int

    def run(self, *, warm: bool) -> Built:
        """Build; `warm`: start from earlier builds. Raises StartOver where these are damaged."""
        with ExitStack() as stack:
            scratch = stack.enter_context(self.cache.scratch())
            registries = None
            if self.outputs.push or self.outputs.insecure or self.remote.sources or self.remote.to:
                registries = stack.enter_context(Registries(insecure=self.outputs.insecure))
            caches = self._caches(scratch, registries)
            try:
                return self._built(scratch, caches, registries, warm=warm)
            except StartOver:
                raise
            except SlimpackError as error:
                if caches.layers.recheck():
                    raise StartOver(str(error)) from error
                raise

    def _built(
        self, scratch: Path, caches: BuildCaches, registries: Registries | None, *, warm: bool
    ) -> Built:
        names = references(self.config.image)
        means = self._means(caches, registries)
        stage = Stages()
        made = [
            build_image(own, means, folder, names=names, warm=warm)
            for own, folder in _for_each(self.config, scratch)
        ]
        target = _together([one.image for one in made])
        if self.outputs.paths or self.outputs.load:
            caches.prefetch()
        with stage("documents"):
            told = means.layers.healing(lambda: self._told(made, names))
        with stage("output"):
            pushing = Pushing(registries, caches.mount_from) if registries else None
            pushed = means.layers.healing(
                lambda: deliver(
                    target, names, self.outputs, self.progress, told=told, pushing=pushing
                )
            )
            paths = self.outputs.paths
            files = [str(file) for path in paths for file in write_documents(path, told)]
        with stage("cache"):
            caches.share(pushed_to=self.outputs.push)
            caches.trim(size_limit())
        return Built(
            digest=target.digest,
            references=names,
            outputs=(*paths, *files),
            size=target.size,
            images=tuple(one.result for one in made),
            stages=tuple(stage.seconds),
            notes=caches.notes.texts,
            pushed=pushed.references if pushed else (),
            sent=pushed.sent if pushed else 0,
        )

    def _told(
        self, made: list[Made], names: tuple[str, ...]
    ) -> list[tuple[Image, tuple[Attestation, ...]]]:
        """Return each image with the documents that are wanted of it."""
        wanted, run, name = self.outputs.documents, self.outputs.run, (*names, "")[0]
        if not wanted:
            return []
        return [
            (one.image, documents_of(one.image, wanted, name, facts=one.facts, run=run))
            for one in made
        ]

    def _caches(self, scratch: Path, registries: Registries | None) -> BuildCaches:
        return open_caches(
            self.cache,
            BlobStore(scratch / "blobs", durable=False),
            shared=_SHARED,
            sources=self.remote.sources,
            to=self.remote.to,
            registries=registries,
            progress=self.progress,
        )

    def _means(self, caches: BuildCaches, registries: Registries | None) -> Means:
        kind, level = self.config.image.compression, self.config.image.compression_level
        return Means(
            cache=self.cache,
            layers=caches.layers,
            memos=caches.memos,
            progress=self.progress,
            epoch=self.epoch,
            compression=Compression(kind=kind, level=_LEVELS[kind] if level is None else level),
            registries=registries,
        )


def _together(images: list[Image]) -> Deliverable:
    return images[0] if len(images) == 1 else Index(tuple(images))


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
