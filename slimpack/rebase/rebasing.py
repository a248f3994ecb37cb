"""The way from an image to the same one on another base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from slimpack.base import Base, assemble
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.config import Config
from slimpack.errors import InputError, VerifyError
from slimpack.oci.compress import Compression, chosen
from slimpack.oci.image import BASE_DIGEST, BASE_NAME, Image, make_image
from slimpack.oci.layer import TAR, Layer
from slimpack.own import (
    COMMENT,
    Own,
    Recorded,
    base_annotations,
    configure,
    read_own,
)
from slimpack.progress import SILENT, Progress
from slimpack.rebase.abi import Glibc, Lack, lacks
from slimpack.rebase.changes import Change, changes, runtime_name
from slimpack.rebase.proving import Proof, Proving
from slimpack.rebase.surface import Surface
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import is_reference
from slimpack.verify.model import Verification

_OF_THE_BASE = (BASE_DIGEST, BASE_NAME)


@dataclass(frozen=True)
class Rebased:
    """The image on its new base.

    image: the layers above its base are where they were.
    changed: whether its configuration, and so its id, is another one.
    old_runtime, new_runtime: names, "" for an image that is no runtime's.
    changes: of Debian packages, where both bases tell theirs.
    kept, replaced: bytes of layers that stay, and of those of the new base.
    verified: what the checks found, None when only the bases were compared.
    """

    image: Image
    changed: bool
    old_runtime: str
    new_runtime: str
    glibc: Glibc
    changes: tuple[Change, ...]
    kept: int
    replaced: int
    verified: Verification | None
    notes: tuple[str, ...]


def rebase(
    image: Image,
    config: Config,
    *,
    cache: Cache,
    layers: LayerCache,
    scratch: Path,
    proof: Proof = "files",
    runtime: str = "",
    registries: Registries | None = None,
    progress: Progress = SILENT,
) -> Rebased:
    """Put `image`, which slimpack built, on another base, and prove that it works there.

    config: its [image] base names the new base, [debian] and [verify] count too; nothing
        else of [image] does. runtime: instead of an image; "" for the one that it has.
    layers: where the new base's layer is kept. scratch: a folder to unpack images in.
    proof: "bases" compares the bases, and reads the files above only where that leaves a
        doubt; "files" also makes every check of the result that runs nothing; "run" all.
    The result is the image that a build on the new base would give. Raises VerifyError when
    something is missing there, ImageError for an image that is not ours, and what
    `assemble` raises.
    """
    recorded = read_own(image)
    own = recorded.own
    base = assemble(
        _wanted(image, recorded, config, runtime),
        str(image.platform),
        cache=cache,
        layers=layers,
        epoch=own.created,
        compression=_compression(image, recorded),
        progress=progress,
        max_age=timedelta(0),
        registries=registries,
    )
    result = rebased(image, recorded, base)
    doubts = _missing(image, recorded, base, result) if _differ(image, recorded, base) else ()
    changed = result.config_digest != image.config_digest
    found = changes(image.config.labels, result.config.labels)
    verified = None
    if doubts or proof == "run" or (proof == "files" and changed):
        below = len(base.image.layers)
        proving = Proving(image, result, below, config.verify, scratch, progress)
        verified = proving.prove(run=proof == "run")
    return Rebased(
        image=result,
        changed=changed,
        old_runtime=_runtime(image, recorded.layers),
        new_runtime=_runtime(result, len(base.image.layers)),
        glibc=Glibc(recorded.glibc, base.glibc),
        changes=found,
        kept=_bytes(result.layers[len(base.image.layers) :]),
        replaced=_bytes(base.image.layers),
        verified=verified,
        notes=(*base.notes, *_notes(base, own, doubts), *_older(found)),
    )


def rebased(image: Image, recorded: Recorded, base: Base) -> Image:
    """Return the layers of `image` above its base on another base, as a build makes it."""
    kept = {name: text for name, text in image.annotations.items() if name not in _OF_THE_BASE}
    return make_image(
        image.layers[recorded.layers :],
        configure(recorded.own, base),
        base=base.image,
        annotations={**kept, **base_annotations(base)},
        comment=COMMENT,
    )


def _wanted(image: Image, recorded: Recorded, config: Config, runtime: str) -> Config:
    """Return a configuration that names the new base: as asked for, else the newest of its kind."""
    if config.image.base:
        return config
    runtime = runtime or _runtime(image, recorded.layers)
    if runtime:
        return config.with_image(runtime=runtime)
    name = image.annotations.get(BASE_NAME, "")
    if not is_reference(name):
        raise InputError(
            "nothing tells which base the image has below it",
            hint="name the new one: --runtime NAME, or --base IMAGE",
        )
    if "@" in name:
        raise InputError(
            f"the base of the image is {name}, which is never another one",
            hint="name the new one: --runtime NAME, or --base IMAGE",
        )
    return config.with_image(base=name)


def _runtime(image: Image, layers: int) -> str:
    """Return the name of the runtime that an image has below it, "" for another base.

    An image that slimpack built may be the base of another one, which then has its labels.
    The label may be anybody's: what would be a path of this machine is no name.
    """
    name = runtime_name(image.config.labels)
    if "/" in name or name.endswith(".toml"):
        return ""
    steps = [step for step in image.history if not step.empty]
    assembled = layers == 1 and (steps[0].created_by, steps[0].comment) == (
        f"runtime {name}",
        COMMENT,
    )
    return name if assembled else ""


def _compression(image: Image, recorded: Recorded) -> Compression:
    """Return how the base's layer is compressed: as the old one, which others may have changed."""
    kind = recorded.own.compression
    level = recorded.own.level
    stored = {layer.media_type for layer in image.layers}
    if stored == {TAR} and kind != "none":  # a docker-archive of an engine
        return Compression("none", 0)
    return chosen(kind, level)


def _differ(image: Image, recorded: Recorded, base: Base) -> bool:
    """Tell whether the two bases differ in any file."""
    old = [layer.diff_id for layer in image.layers[: recorded.layers]]
    return old != [layer.diff_id for layer in base.image.layers]


def _missing(image: Image, recorded: Recorded, base: Base, result: Image) -> tuple[Lack, ...]:
    """Compare the bases; raise VerifyError for what will certainly be missed."""
    below = replace(image, layers=image.layers[: recorded.layers], raw_config=b"", raw_manifest=b"")
    glibc = Glibc(recorded.glibc, base.glibc)
    new = Surface(base.image, base.view)
    found = lacks(Surface.of(below), new, recorded.own, result.config, glibc)
    certain = [lack for lack in found if lack.certain]
    if certain:
        raise VerifyError(
            "the new base does not fit the image",
            details="\n".join(lack.what for lack in certain),
            hint="choose another base, or build the image anew for this one",
        )
    return found


def _notes(base: Base, own: Own, doubts: Sequence[Lack]) -> Iterator[str]:
    if base.gpu and not own.cuda:
        yield "the new runtime is for GPUs, but no package of the environment brings CUDA"
    for lack in doubts:
        yield f"the new base differs, and nothing in the image needs it: {lack.what}"


def _older(found: Sequence[Change]) -> Iterator[str]:
    for change in found:
        if change.goes_back:
            yield (
                f"{change.name} goes back from {change.old} to {change.new}: "
                "the mirror may be behind, or the runtime is of an older Debian"
            )


def _bytes(layers: Sequence[Layer]) -> int:
    return sum({layer.digest: layer.size for layer in layers}.values())
