"""What lies below the environment: a runtime assembled from Debian, or an image.

The image lies on disk or in a registry. Its blobs are kept in the cache by digest, so that
a base that is pinned by its digest is downloaded once and then needs no registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.record import layer_key
from slimpack.config import Config
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.config import Platform
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.rootfs import Placed, merged_view, read_files
from slimpack.progress import Progress
from slimpack.registry.reference import Reference
from slimpack.result import LayerRow
from slimpack.runtimes import Runtime, load_runtime

if TYPE_CHECKING:  # a base that is known already needs neither Debian nor registries
    from slimpack.debian import DebianBase, ResolvedPackage
    from slimpack.registry.connecting import Registries
    from slimpack.sources import Source

DAY = timedelta(days=1)
# Where C libraries say their version (glibc's version.c), and where Debian's
# and Red Hat's images keep them.
_LIBC = re.compile(r"(?:usr/)?lib(?:64|32)?/(?:[^/]+/)?libc(?:\.so\.6|-2\.\d+\.so)\Z")
_RELEASE = re.compile(rb"GNU C Library [^\n]{0,200}? release version (\d+\.\d+)")
LABEL = "slimpack.base"
"""Of a runtime's base: its name, and each Debian package as ``name=version``."""


@dataclass(frozen=True)
class Base:
    """A base image and what the rest of the build needs to know of it.

    glibc: version of its C library, "" when it has none.
    prefix: where the runtime wants the environment.
    user: who runs it unless the base or the configuration says otherwise.
    view: every path of it.
    gpu: whether the runtime is for environments with CUDA.
    env: variables that the runtime wants and the image does not set.
    reference: of an image that was pulled, with its digest; "" for any other.
    debian: packages that it was assembled from, () for an image.
    """

    image: Image
    glibc: str
    prefix: str
    user: str
    view: Mapping[str, Placed]
    gpu: bool = False
    env: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    reference: str = ""
    debian: tuple[ResolvedPackage, ...] = ()

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        """Its layers for the final table."""
        return tuple(self._row(number, layer) for number, layer in enumerate(self.image.layers))

    def _row(self, number: int, layer: Layer) -> LayerRow:
        members = [placed.member for placed in self.view.values() if placed.layer == number]
        return LayerRow(
            name=layer.name or "base",
            files=sum(member.kind != "directory" for member in members),
            unpacked=sum(member.size for member in members),
            compressed=layer.size,
            digest=layer.digest,
        )


def assemble(
    config: Config,
    platform: str,
    *,
    cache: Cache,
    layers: LayerCache,
    epoch: int,
    compression: Compression,
    progress: Progress,
    registries: Registries | None = None,
    max_age: timedelta = DAY,
) -> Base:
    """Return the base that `config` names, its layers in `layers`, on disk or in the cache.

    registries: to pull from; with the user's credentials if None.
    max_age: of what is known of Debian's packages; older than that, the mirror is asked.
    Raises RuntimeBaseError, InputError, ImageError or RegistryError.
    """
    runtime = load_runtime(config.image.runtime)
    if config.image.base or runtime.image:
        from slimpack.registry.connecting import Registries
        from slimpack.sources import image_source

        own = not config.image.base
        source = Reference.parse(runtime.image) if own else image_source(config.image.base or "")
        found = _Pulling(registries or Registries(), cache, progress).open(source, platform)
        return _from_image(found, source, runtime, own=own)
    from slimpack.debian import assemble_base, find_mirrors

    mirrors = (
        find_mirrors(
            runtime.debian.suites[0],
            main=config.debian.mirror,
            security=config.debian.security_mirror,
        )
        if runtime.debian
        else None
    )
    debian = assemble_base(
        runtime,
        platform,
        cache_dir=cache.root,
        mirrors=mirrors,
        progress=progress,
        max_age=max_age,
    )
    return _from_debian(debian, runtime, layers, epoch, compression)


def _from_debian(
    debian: DebianBase, runtime: Runtime, layers: LayerCache, epoch: int, compression: Compression
) -> Base:
    name, tree = f"runtime {runtime.name}", debian.tree

    def make(blobs: BlobStore) -> Layer:
        return build_layer(name, tree, blobs=blobs, mtime=epoch, compression=compression)

    key = layer_key(tree, mtime=epoch, compression=compression)
    layer = layers.layer_for(key, name, make)
    parsed = Platform.parse(debian.platform)
    packages = " ".join(f"{package.name}={package.version}" for package in debian.packages)
    image = make_image(
        [layer],
        OciConfig(
            architecture=parsed.architecture,
            os=parsed.os,
            variant=parsed.variant,
            env=tuple(runtime.env.items()),
            user=runtime.user,
            workdir=runtime.workdir,
            labels={**runtime.labels, LABEL: f"{runtime.name} {packages}"},
            created=epoch,
        ),
        comment="slimpack",
    )
    return Base(
        image=image,
        glibc=debian.glibc,
        prefix=runtime.prefix,
        user=runtime.user,
        view=merged_view(image),
        gpu=runtime.gpu,
        debian=debian.packages,
    )


@dataclass(frozen=True)
class _Pulling:
    registries: Registries
    cache: Cache
    progress: Progress

    def open(self, source: Source, platform: str) -> Image:
        """Read or pull an image; all its layers are here afterwards."""
        from slimpack.registry.pull import prefetch
        from slimpack.sources import open_image

        image = open_image(
            source,
            self.registries,
            blobs=BlobStore(self.cache.root / "blobs"),
            platform=Platform.parse(platform),
            progress=self.progress,
        )
        prefetch(image, self.registries, self.progress)
        return image


def _from_image(image: Image, source: Source, runtime: Runtime, *, own: bool) -> Base:
    """Return an image as a base. own: it is the runtime's, whose variables it gets, then."""
    view = merged_view(image)
    glibc = _glibc(image, view)
    notes = [] if glibc else [f"{source} has no glibc that slimpack finds; solved without __glibc"]
    reference = ""
    if isinstance(source, Reference):
        reference = str(source if source.digest else replace(source, digest=image.digest))
        if not source.digest:
            notes.append(f"the base {source} may be another one tomorrow: pin it as {reference}")
    there = dict(image.config.env)
    return Base(
        image=image,
        glibc=glibc,
        prefix=runtime.prefix,
        user=runtime.user,
        view=view,
        gpu=runtime.gpu,
        # How the host's driver gets in does not depend on what the base is.
        env=tuple(
            (name, value)
            for name, value in runtime.env.items()
            if own or (name.startswith("NVIDIA_") and name not in there)
        ),
        notes=tuple(notes),
        reference=reference,
    )


def _glibc(image: Image, view: Mapping[str, Placed]) -> str:
    libraries = read_files(image, lambda path: bool(_LIBC.match(path)), view=view)
    for data in libraries.values():
        if match := _RELEASE.search(data):
            return match[1].decode()
    return ""
