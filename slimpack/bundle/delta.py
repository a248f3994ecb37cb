"""Delta bundles: without the blobs that the far side has, and with patches of the others.

A patch makes a layer of layers that are there, bit for bit (`slimpack.patch`); it goes into
the bundle where it is at least a tenth smaller than the layer: rebuilding costs time, and
disk space for the unpacked bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from slimpack.bundle.contents import Contents, Opener, Packed
from slimpack.bundle.model import Blob, Patch
from slimpack.bundle.since import Known, Old
from slimpack.oci.digest import HashingWriter, hex_of
from slimpack.oci.image import Image
from slimpack.oci.index import images_of
from slimpack.oci.layer import Layer
from slimpack.oci.names import split_name
from slimpack.patch.make import PatchMaker
from slimpack.progress import SILENT, Progress


def as_delta(
    contents: Contents,
    known: Sequence[Known],
    scratch: Path,
    *,
    more: Sequence[Old] = (),
    patches: bool = True,
    progress: Progress = SILENT,
) -> Contents:
    """Return contents without what the far side has.

    known: what it has. more: further images that it has, whose bytes are here; of their
    layers those count that `known` names. patches: make them, below `scratch`, where the
    contents read them from. Raises ImageError for a layer that does not match its digest,
    SlimpackError when `scratch` is full.
    """
    has = frozenset[str]().union(*(one.blobs for one in known))
    olds = [_held(old, has) for old in (*(old for one in known for old in one.images), *more)]
    made = list(_patches(contents.images, has, olds, scratch, progress)) if patches else []
    return replace(
        contents,
        absent=has & _layers(contents.images).keys(),
        patches=tuple(made),
        since=tuple(dict.fromkeys(one.digest for one in known)),
    )


def _held(old: Old, has: frozenset[str]) -> Old:
    return replace(old, layers=tuple(layer for layer in old.layers if layer.digest in has))


def _layers(images: Sequence[Packed]) -> dict[str, Layer]:
    return {
        layer.digest: layer
        for packed in images
        for image in images_of(packed.target)
        for layer in image.layers
    }


def _patches(
    images: Sequence[Packed],
    has: frozenset[str],
    olds: Sequence[Old],
    scratch: Path,
    progress: Progress,
) -> Iterator[tuple[Patch, Opener]]:
    """Yield patches of layers, image by image: the bases of one are unpacked together."""
    seen = set(has)
    folder = scratch / "patches"
    folder.mkdir(parents=True, exist_ok=True)
    for packed in images:
        for image in images_of(packed.target):
            new = [layer for layer in image.layers if layer.digest not in seen]
            seen.update(layer.digest for layer in new)
            bases = _bases(packed.names, image, olds)
            if not new or not bases:
                continue
            with PatchMaker(bases, scratch=scratch, progress=progress) as maker:
                for layer in new:
                    made = _patch(maker, layer, folder / hex_of(layer.digest))
                    if made is not None:
                        yield made


def _bases(names: Sequence[str], image: Image, olds: Sequence[Old]) -> list[Layer]:
    """Return old layers that may be like those of an image, and that it has not itself.

    They are of older images of its name; where there is none, of any image for its platform.
    """
    own = {layer.digest for layer in image.layers}
    repositories = {split_name(name)[1] for name in names}
    fitting = [old for old in olds if old.platform.matches(image.platform)]
    related = [old for old in fitting if old.repositories & repositories] or fitting
    layers = {layer.digest: layer for old in related for layer in old.layers}
    return [layer for digest, layer in layers.items() if digest not in own]


def _patch(maker: PatchMaker, layer: Layer, path: Path) -> tuple[Patch, Opener] | None:
    with path.open("wb") as stream:
        sink = HashingWriter(stream)
        info = maker.make(layer, sink, limit=layer.size * 9 // 10)
    if info is None:
        path.unlink()
        return None
    target = Blob(layer.digest, layer.size)
    bases = tuple(base.digest for base in info.bases)
    return Patch(target, sink.digest, sink.size, bases), lambda: path.open("rb")
