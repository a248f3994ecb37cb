"""The one way through: from a specification to an image in every sink.

`slimpack.imaging.build_image` is walked once for each platform; what comes out goes to
the sinks, with documents about it, and into the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimpack.cache import Cache
from slimpack.cache.building import BuildCaches, open_caches
from slimpack.cache.kinds import SHARED
from slimpack.cache.limits import size_limit
from slimpack.config import DEFAULT_EPOCH, Config
from slimpack.deliver import Pushing, Told, deliver, references
from slimpack.errors import ImageError, InputError, InstallError, RelocationError, SlimpackError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import chosen
from slimpack.oci.index import Deliverable, Index
from slimpack.outputs import NO_REMOTE, Outputs, RemoteCaching
from slimpack.platforms import resolve
from slimpack.progress import SILENT, Progress
from slimpack.result import BuildResult, Built
from slimpack.stages import Stages
from slimpack.warm.noswap import StartOver
from slimpack.warm.whole import Whole, contents_of, recall_whole, remember_whole, whole_key

# Most of the code is imported by those builds only that have something to build.
if TYPE_CHECKING:
    from slimpack.archive.formats import Packing
    from slimpack.env.locks.lock import Lock
    from slimpack.imaging import Made
    from slimpack.means import Means
    from slimpack.registry.connecting import Registries


def build(
    config: Config,
    outputs: Outputs,
    *,
    cache: Cache,
    remote: RemoteCaching = NO_REMOTE,
    fresh: bool = False,
    again: bool = False,
    progress: Progress = SILENT,
    epoch: int = DEFAULT_EPOCH,
) -> Built:
    """Build the image that `config` describes and deliver it to `outputs`.

    Several platforms make an index of as many images. fresh: nothing that an earlier build
    made is used, downloads aside. again: the image is proven anew. epoch: mtime of every file and
    creation date of the image, in seconds. Raises the children of SlimpackError;
    whatever happens, nothing is left half-written and no scratch file stays.
    """
    task = _Task(config, outputs, cache, remote, fresh, again, progress, epoch)
    try:
        return task.run(warm=not fresh)
    except StartOver as error:
        built = task.run(warm=False)
        why = f"built from nothing, as an earlier build was of no use: {error.message}"
        return replace(built, notes=(*built.notes, why))


@dataclass(frozen=True)
class _Task:
    config: Config
    outputs: Outputs
    cache: Cache
    remote: RemoteCaching
    fresh: bool
    again: bool
    progress: Progress
    epoch: int

    def run(self, *, warm: bool) -> Built:
        """Build; `warm`: start from earlier builds. Raises StartOver where these are damaged."""
        with ExitStack() as stack:
            scratch = stack.enter_context(self.cache.scratch())
            registries = None
            if self.outputs.push or self.outputs.insecure or self.remote.sources or self.remote.to:
                from slimpack.registry.connecting import Registries

                registries = stack.enter_context(Registries(insecure=self.outputs.insecure))
            caches = self._caches(scratch, registries)
            try:
                return self._built(scratch, caches, registries, warm=warm)
            except StartOver:
                raise
            except SlimpackError as error:
                if warm and caches.layers.recheck():
                    raise StartOver(str(error)) from error
                raise

    def _built(
        self, scratch: Path, caches: BuildCaches, registries: Registries | None, *, warm: bool
    ) -> Built:
        names, stage = references(self.config.image), Stages()
        packing = self._packing() if self.outputs.roots else None
        if registries:  # nobody wants to learn after the build that a password is wrong
            for host in dict.fromkeys(one.host for one in self.outputs.push):
                registries.of(host).check()
        known = None
        contents = contents_of(self.config) if warm else None
        key = whole_key(contents, self.config, self.epoch, self.cache)
        # What is told of a build, or shared, has to be at hand.
        anew = self.again or self.outputs.documents or self.remote.to
        if key and not anew:
            known = recall_whole(key, caches.layers, caches.memos)
        told: Told = ()
        locks: tuple[Lock, ...] = ()
        if known:
            images, results = known.images, known.results
            results = tuple(map(_again, results))
        else:
            means = self._means(caches, registries)
            made = self._made(means, scratch, names, warm=warm)
            images = tuple(one.image for one in made)
            results = tuple(one.result for one in made)
            locks = tuple(one.lock for one in made if one.lock)
            self._remember(key, contents, made, caches)
            if self.outputs.documents:
                with stage("documents"):
                    told = caches.layers.healing(lambda: self._told(made, names))
        target: Deliverable = images[0] if len(images) == 1 else Index(images)
        if self.outputs.paths or self.outputs.roots or self.outputs.load:
            caches.prefetch()
        with stage("output"):
            pushing = Pushing(registries, caches.mount_from) if registries else None
            done = caches.layers.healing(
                lambda: deliver(
                    target,
                    names,
                    self.outputs,
                    self.progress,
                    told=told,
                    pushing=pushing,
                    packing=packing,
                )
            )
        with stage("cache"):
            caches.share(pushed_to=self.outputs.push)
            caches.trim(size_limit())
        return Built(
            digest=target.digest,
            references=names,
            outputs=(*self.outputs.paths, *(one.path for one in done.roots), *done.files),
            size=target.size,
            images=results,
            stages=tuple(stage.seconds),
            notes=(*caches.notes.texts, *dict.fromkeys(n for one in done.roots for n in one.notes)),
            pushed=done.pushed.references if done.pushed else (),
            sent=done.pushed.sent if done.pushed else 0,
            roots=done.roots,
            locks=locks,
        )

    def _packing(self) -> Packing:
        """Return how root file systems are packed, or refuse before anything is built."""
        from slimpack.hpc.write import root_packing

        if len(self.config.env.platforms) > 1:
            raise InputError(
                f"{self.outputs.roots[0].path} holds the root file system of one platform",
                hint="build for one --platform, or write FILE.tar and `slimpack rootfs` each",
            )
        return root_packing(self.config.image.compression, self.config.image.compression_level)

    def _made(
        self, means: Means, scratch: Path, names: tuple[str, ...], *, warm: bool
    ) -> list[Made]:
        from slimpack.env.ahead import solver_ahead

        with solver_ahead(self.config.env.engine, self.config.env.inputs):
            return self._imaged(means, scratch, names, warm=warm)

    def _imaged(
        self, means: Means, scratch: Path, names: tuple[str, ...], *, warm: bool
    ) -> list[Made]:
        from slimpack.imaging import build_image
        from slimpack.starting import without_order

        config = without_order(self.config)
        try:
            return [
                build_image(own, means, folder, names=names, warm=warm, again=self.again)
                for own, folder in _for_each(config, scratch)
            ]
        except StartOver:
            raise
        except (ImageError, InstallError, RelocationError) as error:
            if warm and means.memos.used:  # what was remembered may be the reason
                raise StartOver(str(error)) from error
            raise

    def _remember(
        self, before: str | None, contents: list[Any] | None, made: list[Made], caches: BuildCaches
    ) -> None:
        """Keep what came of the build, if it says all, and nobody wrote its files meanwhile.

        before: the key as it was, None where the base had to be asked for anew.
        """
        if contents is None or not all(one.pinned for one in made):
            return
        whole = Whole(tuple(one.image for one in made), tuple(one.result for one in made))
        if not whole.is_proven(self.config.verify) or contents_of(self.config) != contents:
            return
        key = whole_key(contents, self.config, self.epoch, self.cache)
        if key and before in (None, key):
            remember_whole(key, whole, caches.memos)

    def _told(self, made: list[Made], names: tuple[str, ...]) -> Told:
        """Return each image with the documents that are wanted of it."""
        from slimpack.attestation import documents_of
        from slimpack.provenance import Run

        wanted, name = self.outputs.documents, (*names, "")[0]
        run = Run(builder=self.outputs.builder) if self.outputs.builder else Run()
        return [
            (one.image, documents_of(one.image, wanted, name, facts=one.facts(), run=run))
            for one in made
        ]

    def _caches(self, scratch: Path, registries: Registries | None) -> BuildCaches:
        apart = replace(self.cache, results=scratch / "results")
        return open_caches(
            apart if self.fresh else self.cache,
            BlobStore(scratch / "blobs", durable=False),
            shared=SHARED,
            sources=() if self.fresh else self.remote.sources,
            to=self.remote.to,
            registries=registries,
            progress=self.progress,
        )

    def _means(self, caches: BuildCaches, registries: Registries | None) -> Means:
        from slimpack.means import Means
        from slimpack.starting import first_files

        image = self.config.image
        first = first_files(self.config)
        return Means(
            cache=self.cache,
            layers=caches.layers,
            memos=caches.memos,
            progress=self.progress,
            epoch=self.epoch,
            compression=chosen(image.compression, image.compression_level, first=first),
            registries=registries,
        )


def _again(result: BuildResult) -> BuildResult:
    """Return what is told of an image of which nothing was made."""
    proof = result.verified and replace(result.verified, kept="everything")
    return replace(result, stages=(), reused="everything", verified=proof)


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
